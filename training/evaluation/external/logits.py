"""Measures how well probabilities fit a place: calibration in the large, and calibration slope."""

import numpy as np

_STEPS = 50


def fit_logistic(design: np.ndarray, labels: np.ndarray, offset: np.ndarray | float = 0.0) -> np.ndarray:
    """Fit a logistic regression of bool (n,) on float (n, m) by maximum likelihood: coefficients (m,).

    Newton's method. Where no maximum exists, as for labels that a threshold separates, it ends far out.
    """
    beta = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(design @ beta + offset, -30, 30)))
        curvature = design.T @ (design * (p * (1 - p))[:, None]) + 1e-6 * np.eye(len(beta))
        step = np.clip(np.linalg.solve(curvature, design.T @ (labels - p)), -1, 1)
        beta += step
        if np.abs(step).max() < 1e-9:
            break
    return beta


def logits(values: np.ndarray) -> np.ndarray:
    """Return the log odds of values in 0..1, float (n,)."""
    clipped = np.clip(values.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(clipped / (1 - clipped))


def in_the_large(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return by how much the log odds that were said are too low on the whole: 0 where they fit.

    The intercept of a logistic regression with the log odds as offset (Cox, Biometrika 45 (1958) 562-565;
    Van Calster et al., BMC Medicine 17 (2019) 230). nan where a class is missing.
    """
    if labels.all() or not labels.any():
        return float("nan")
    return float(fit_logistic(np.ones((len(labels), 1)), labels, logits(probabilities))[0])


def slope(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return by what the log odds that were said have to be multiplied: 1 where they fit, below it too bold.

    nan where a class is missing, or a threshold separates the classes: then there is no largest likelihood.
    """
    if labels.all() or not labels.any():
        return float("nan")
    fractured, intact = probabilities[labels], probabilities[~labels]
    if fractured.min() > intact.max() or fractured.max() < intact.min():
        return float("nan")
    design = np.column_stack([logits(probabilities), np.ones(len(labels))])
    return float(fit_logistic(design, labels)[0])
