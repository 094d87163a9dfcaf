"""Fixes, on the validation part alone, how scores become probabilities and where findings change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.bundle import Calibration, RegionCalibration, Thresholds
from model.classifier import calibrate
from model.letterbox import Letterbox
from model.regions import find_regions
from training.batches.augment import cells, draw_fractures
from training.batches.examples import Example, labels_of
from training.evaluation.localisation import lies_on_fracture
from training.evaluation.scores import Scores

_SENSITIVITY, _SPECIFICITY = 0.95, 0.95
_LEAST_SLOPE = 0.05
_FEWEST_REGIONS = 20


@dataclass(frozen=True)
class Fixed:
    """What is fixed on the validation part, before the test part is opened."""

    calibration: Calibration
    thresholds: Thresholds
    regions: RegionCalibration


def fix(examples: Sequence[Example], scores: Scores) -> Fixed:
    """Fix calibrations and all thresholds on the validation part."""
    labels = labels_of(examples)
    calibration = fit_calibration(scores.fracture, labels)
    probabilities = calibrate(scores.fracture, calibration)
    high = high_threshold(probabilities, labels)
    # A model so good that the two cross has no indeterminate range.
    low = min(low_threshold(probabilities, labels), high)
    known = [i for i, example in enumerate(examples) if example.located]
    size = examples[0].square.shape[0]
    truth = np.stack([cells(np.asarray(draw_fractures(examples[i])), size)[..., 0] > 0 for i in known])
    thresholds = Thresholds(low, high, region_threshold(scores.where[known], truth))
    return Fixed(calibration, thresholds, fit_regions(examples, scores.where, thresholds.region))


def fit_regions(examples: Sequence[Example], where: np.ndarray, threshold: float) -> RegionCalibration:
    """Fit how often a region of a fractured X-ray lies on a fracture to its hottest cell, 0..1.

    A region lies on one if its middle is in a marked box, within 5 % of the image's side. Without twenty
    regions, or with all or none of them right, the share that is right (plus one of two more) is taken.
    """
    hottest, right = [], []
    for example, cells_ in zip(examples, where, strict=True):
        if example.boxes:
            side = example.square.shape[0]
            for region in find_regions(cells_, threshold, Letterbox.of(side, side, side), (side, side)):
                hottest.append(region.score)
                right.append(lies_on_fracture(example, region.box))
    labels = np.array(right, bool)
    if len(labels) < _FEWEST_REGIONS or labels.all() or not labels.any():
        share = (labels.sum() + 1) / (len(labels) + 2)
        return RegionCalibration(slope=0.0, bias=float(np.log(share / (1 - share))))
    fitted = fit_calibration(np.array(hottest), labels)
    return RegionCalibration(slope=1 / fitted.temperature, bias=fitted.bias)


def fit_calibration(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit temperature and bias to float scores (n,) in 0..1 and bool labels (n,) by maximum likelihood.

    Newton's method on two parameters. A score without any worth would get a slope of zero or less; it is
    held at a small positive one, so that the order of the scores stays as the network had it.
    """
    clipped = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    design = np.column_stack([np.log(clipped / (1 - clipped)), np.ones(len(scores))])
    beta = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + 1e-6 * np.eye(2)
        beta += np.clip(np.linalg.solve(curvature, design.T @ (labels - p)), -1, 1)
    return Calibration(temperature=float(1 / max(beta[0], _LEAST_SLOPE)), bias=float(beta[1]))


def low_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the highest probability from which at least 95 % of the fractured lie."""
    fractured = np.sort(probabilities[labels])
    return float(fractured[int(np.floor(len(fractured) * (1 - _SENSITIVITY) + 1e-9))])


def high_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest probability below which at least 95 % of the intact lie, among those that occur."""
    intact = np.sort(probabilities[~labels])
    highest = intact[int(np.ceil(len(intact) * _SPECIFICITY - 1e-9)) - 1]
    return float(np.nextafter(highest, 1.0))


def region_threshold(cells: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold with the best F1 over cells, float (n, h, w) against bool (n, h, w).

    1 where no fracture is marked: nothing was learned of places then, and no region is named.
    """
    if not truth.any():
        return 1.0
    order = np.argsort(-cells.ravel())
    hits = np.cumsum(truth.ravel()[order])
    f1 = 2 * hits / (np.arange(1, truth.size + 1) + truth.sum())
    return float(cells.ravel()[order][int(f1.argmax())])
