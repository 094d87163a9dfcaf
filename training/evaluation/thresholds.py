"""Chooses the low and the high threshold of a finding, and that of regions, on the validation part alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.bundle import Calibration, RegionCalibration, Thresholds
from model.classifier import calibrate
from training.batches.augment import cells, draw_fractures
from training.batches.examples import Example, labels_of
from training.evaluation.calibration import fit_calibration, fit_region_calibration
from training.evaluation.scores import Scores

_SENSITIVITY, _SPECIFICITY = 0.95, 0.95


@dataclass(frozen=True)
class OperatingPoints:
    """What is chosen on the validation part, before the test part is opened."""

    calibration: Calibration
    thresholds: Thresholds
    regions: RegionCalibration


def choose_operating_points(examples: Sequence[Example], scores: Scores) -> OperatingPoints:
    """Fit both calibrations and choose all thresholds on the validation part."""
    labels = labels_of(examples)
    calibration = fit_calibration(scores.fracture, labels)
    low, high = choose_thresholds(calibrate(scores.fracture, calibration), labels)
    known = [i for i, example in enumerate(examples) if example.located]
    size = examples[0].square.shape[0]
    truth = np.stack([cells(np.asarray(draw_fractures(examples[i])), size)[..., 0] > 0 for i in known])
    thresholds = Thresholds(low, high, region_threshold(scores.where[known], truth))
    regions = fit_region_calibration(examples, scores.where, thresholds.region)
    return OperatingPoints(calibration, thresholds, regions)


def choose_thresholds(probabilities: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Choose the low and the high threshold for calibrated float (n,) and bool labels (n,).

    The low one is the high one at most: where the two cross, no probability is indeterminate.
    """
    high = high_threshold(probabilities, labels)
    return min(low_threshold(probabilities, labels), high), high


def low_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the highest probability from which at least 95 % of the fractured lie."""
    fractured = np.sort(probabilities[labels])
    return float(fractured[int(np.floor(len(fractured) * (1 - _SENSITIVITY) + 1e-9))])


def high_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the lowest probability below which at least 95 % of the intact lie, among those that occur."""
    intact = np.sort(probabilities[~labels])
    highest = intact[int(np.ceil(len(intact) * _SPECIFICITY - 1e-9)) - 1]
    return float(np.nextafter(highest, 1.0))


def region_threshold(where: np.ndarray, truth: np.ndarray) -> float:
    """Return the threshold with the best F1 over cells, float (n, h, w), against bool (n, h, w).

    It is 1 where no fracture is marked: the network has learned no places then, and names no region.
    """
    if not truth.any():
        return 1.0
    order = np.argsort(-where.ravel())
    hits = np.cumsum(truth.ravel()[order])
    f1 = 2 * hits / (np.arange(1, truth.size + 1) + truth.sum())
    return float(where.ravel()[order][int(f1.argmax())])
