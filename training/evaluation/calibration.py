"""Fits how scores become probabilities, by logistic regression: of X-rays, and of regions."""

from collections.abc import Sequence

import numpy as np
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from model.bundle import Calibration, RegionCalibration
from training.batches.examples import Example
from training.evaluation.localisation import lies_on_fracture, regions_of

_LEAST_SLOPE = 0.05
_FEWEST_REGIONS = 20


def logits(values: np.ndarray) -> np.ndarray:
    """Return the log odds of values in 0..1, float64 (n,); 0 and 1 count as 1e-7 and 1 - 1e-7."""
    return np.asarray(logit(np.clip(values.astype(np.float64), 1e-7, 1 - 1e-7)))


def fit_logistic(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Fit slope and intercept of bool labels (n,) over the log odds of scores in 0..1, by maximum likelihood.

    Both are large where a threshold separates the labels, as no maximum exists then. Raises ValueError for
    labels of one kind.
    """
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-9)
    model.fit(logits(scores)[:, None], labels)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def fit_calibration(scores: np.ndarray, labels: np.ndarray) -> Calibration:
    """Fit temperature and bias to float scores (n,) in 0..1 and bool labels (n,) by maximum likelihood.

    The fitted slope of a score without any worth is zero or less. A small positive one takes its place, so
    that the order of the scores stays.
    """
    slope, bias = fit_logistic(scores, labels)
    return Calibration(temperature=1 / max(slope, _LEAST_SLOPE), bias=bias)


def fit_region_calibration(
    examples: Sequence[Example], where: np.ndarray, threshold: float
) -> RegionCalibration:
    """Fit how often a region of a fractured X-ray lies on a fracture to its hottest cell, 0..1.

    A region lies on a fracture if its middle is in a marked box, within 5 % of the image's side. Under twenty
    regions, or with all or none of them right, the result is the share that is right (plus one of two more).
    """
    hottest, right = [], []
    for example, cells in zip(examples, where, strict=True):
        if example.boxes:
            for region in regions_of(example, cells, threshold):
                hottest.append(region.score)
                right.append(lies_on_fracture(example, region.box))
    labels = np.array(right, bool)
    if len(labels) < _FEWEST_REGIONS or labels.all() or not labels.any():
        share = (labels.sum() + 1) / (len(labels) + 2)
        return RegionCalibration(slope=0.0, bias=float(np.log(share / (1 - share))))
    fitted = fit_calibration(np.array(hottest), labels)
    return RegionCalibration(slope=1 / fitted.temperature, bias=fitted.bias)
