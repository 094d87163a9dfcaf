"""What is measured on a part of the data, with intervals that respect its groups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_ROUNDS = 2000


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval, and the number of images it rests on."""

    value: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        """Write it as 0.71 (0.64 to 0.78, n = 483)."""
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f}, n = {self.n})"


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of float (n,) against bool (n,); nan where a class is missing."""
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    # Ties share the mean of their ranks.
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((ranks[labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def share(marked: np.ndarray, among: np.ndarray) -> float:
    """Return how much of `among` is marked, both bool (n,); nan for none of none."""
    return float(marked[among].mean()) if among.any() else float("nan")


def with_interval(
    statistic: Callable[[np.ndarray], float], groups: np.ndarray, n: int, seed: int = 0
) -> Measure:
    """Compute `statistic(indices)` on all images, and its interval by drawing whole groups with replacement.

    Images of one group resemble each other, so drawing single images would make the interval too narrow.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    random = np.random.default_rng(seed)
    drawn = [
        statistic(np.concatenate([members[i] for i in random.integers(0, len(members), len(members))]))
        for _ in range(_ROUNDS)
    ]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Measure(statistic(np.arange(len(groups))), float(low), float(high), n)
