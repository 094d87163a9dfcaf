"""Measures how well probabilities fit a place: calibration in the large, and calibration slope."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit

from training.evaluation.calibration import fit_logistic, logits

_FARTHEST = 50.0
"""Log odds beyond any that a probability has in 64 bits."""


def in_the_large(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return by how much the predicted log odds are too low on the whole: 0 where they fit.

    This is the intercept of a logistic regression with the log odds as offset: with it, as many fractures are
    expected as there are (Cox, Biometrika 45 (1958) 562-565; Van Calster et al., BMC Medicine 17 (2019) 230).
    nan where a class is missing.
    """
    if labels.all() or not labels.any():
        return float("nan")
    predicted, fractured = logits(probabilities), labels.sum()
    return float(brentq(lambda offset: expit(predicted + offset).sum() - fractured, -_FARTHEST, _FARTHEST))


def slope(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the factor that makes the predicted log odds fit: 1 where they do, below 1 where too extreme.

    nan where a class is missing, or a threshold separates the classes: then no maximum likelihood exists.
    """
    if labels.all() or not labels.any():
        return float("nan")
    fractured, intact = probabilities[labels], probabilities[~labels]
    if fractured.min() > intact.max() or fractured.max() < intact.min():
        return float("nan")
    return fit_logistic(probabilities, labels)[0]
