"""Computes measures of a part of the data; `training.evaluation.intervals` adds the intervals."""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import average_precision_score

_BINS = 10


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Compute the area under the ROC curve of float (n,) against bool (n,); nan where a class is missing.

    By counting pairs, hundreds of times faster than scikit-learn: bootstraps ask for thousands.
    """
    positives, negatives = scores[labels], np.sort(scores[~labels])
    if not len(positives) or not len(negatives):
        return float("nan")
    # A pair of equal scores counts as half in order.
    below, upto = (negatives.searchsorted(positives, side).sum() for side in ("left", "right"))
    return float((below + upto) / (2 * len(positives) * len(negatives)))


def auc_within(scores: np.ndarray, labels: np.ndarray, sources: np.ndarray) -> float:
    """Compute the area under the ROC curve over pairs of one source, str (n,).

    A score that tells sources apart, and nothing else, has 0.5.
    """
    inside = [sources == source for source in np.unique(sources)]
    pairs = [int(labels[i].sum()) * int((~labels[i]).sum()) for i in inside]
    if not sum(pairs):
        return float("nan")
    known = [(auc(scores[i], labels[i]), count) for i, count in zip(inside, pairs, strict=True) if count]
    return sum(area * count for area, count in known) / sum(pairs)


def average_precision(scores: np.ndarray, labels: np.ndarray) -> float:
    """Compute the average precision of float (n,) against bool (n,); nan where nothing is fractured."""
    return float(average_precision_score(labels, scores)) if labels.any() else float("nan")


def share(marked: np.ndarray, among: np.ndarray) -> float:
    """Return how much of `among` is marked, both bool (n,); nan for none of none."""
    return float(marked[among].mean()) if among.any() else float("nan")


def predictive_values(called: np.ndarray, labels: np.ndarray, prevalence: float) -> tuple[float, float]:
    """Compute PPV and NPV at a prevalence from sensitivity and specificity; `called` bool (n,)."""
    return from_rates(share(called, labels), share(~called, ~labels), prevalence)


def from_rates(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float]:
    """Compute PPV and NPV at a prevalence, by Bayes."""
    positives = sensitivity * prevalence + (1 - specificity) * (1 - prevalence)
    negatives = specificity * (1 - prevalence) + (1 - sensitivity) * prevalence
    return (
        sensitivity * prevalence / positives if positives else float("nan"),
        specificity * (1 - prevalence) / negatives if negatives else float("nan"),
    )


@dataclass(frozen=True)
class Bin:
    """A tenth of the range of probabilities: their mean, the share that is fractured, and how many."""

    said: float
    found: float
    n: int


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> list[Bin]:
    """Compare predicted with observed shares in ten bins of equal width; empty ones are left out."""
    bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    inside = [bins == number for number in np.unique(bins)]
    return [Bin(float(probabilities[i].mean()), float(labels[i].mean()), int(i.sum())) for i in inside]


def calibration_error(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Compute the expected calibration error: the mean distance of predicted and observed shares."""
    return sum(abs(one.said - one.found) * one.n for one in reliability(probabilities, labels)) / len(labels)
