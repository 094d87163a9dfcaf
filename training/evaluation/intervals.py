"""Computes 95 % intervals: by a bootstrap of whole groups, or exactly where that has no width."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import beta

ROUNDS = 2000
_TAIL = 0.025
_NO_WIDTH = 1e-9

Bounds = tuple[float, float]


@dataclass(frozen=True)
class Measure:
    """A value with its 95 % interval, and the number of images it rests on."""

    value: float
    low: float
    high: float
    n: int


UNKNOWN = Measure(float("nan"), float("nan"), float("nan"), 0)


def with_interval(
    statistic: Callable[[np.ndarray], float], groups: np.ndarray, exact: Callable[[float], Bounds]
) -> Measure:
    """Compute `statistic(indices)` on all images, and its interval by drawing whole groups with replacement.

    Images of one group resemble each other, so drawing single images would make the interval too narrow.
    Where all draws give one value (perfect separation, one group), the interval is `exact(value)`.
    """
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    drawn = [statistic(np.concatenate([members[i] for i in draw])) for draw in _draws(len(members))]
    return _bounded(statistic(np.arange(len(groups))), np.array(drawn), len(groups), exact)


def mean_with_interval(values: np.ndarray, groups: np.ndarray) -> Measure:
    """Compute the mean of `values` in 0..1, (n,), and its interval as `with_interval` does, but sooner.

    Where all draws give one value, as for 0 of n and n of n, the interval is that of a share of the groups.
    """
    names, place = np.unique(groups, return_inverse=True)
    sums, sizes = np.bincount(place, values), np.bincount(place)
    drawn = np.array([sums[draw].sum() / sizes[draw].sum() for draw in _draws(len(names))])
    return _bounded(float(values.mean()), drawn, len(groups), lambda value: share_bounds(value, len(names)))


def _draws(groups: int) -> Iterator[np.ndarray]:
    random = np.random.default_rng(0)
    return (random.integers(0, groups, groups) for _ in range(ROUNDS))


def _bounded(value: float, drawn: np.ndarray, n: int, exact: Callable[[float], Bounds]) -> Measure:
    known = drawn[~np.isnan(drawn)]
    if np.isnan(value) or not len(known):
        return Measure(value, float("nan"), float("nan"), n)
    low, high = (float(bound) for bound in np.quantile(known, [_TAIL, 1 - _TAIL]))
    if high - low < _NO_WIDTH:
        return Measure(value, *exact(value), n)
    # What grows with chance, as a calibration error does, may be above its own value in all draws.
    return Measure(value, min(low, value), max(high, value), n)


def share_bounds(share: float, groups: int) -> Bounds:
    """Return the exact 95 % interval of a share that `groups` independent groups have shown.

    Clopper and Pearson, Biometrika 26 (1934) 404-413, with groups for trials: images of one group count once.
    The number of successes may be broken, so a mean of values in 0..1 has an interval, too.
    """
    successes = min(max(share, 0.0), 1.0) * groups
    low = float(beta.ppf(_TAIL, successes, groups - successes + 1)) if share > 0 else 0.0
    high = float(beta.ppf(1 - _TAIL, successes + 1, groups - successes)) if share < 1 else 1.0
    return low, high


def auc_bounds(area: float, labels: np.ndarray, groups: np.ndarray) -> Bounds:
    """Return a 95 % interval of an area under the ROC curve of which a bootstrap has no width.

    At 1, exact and free of any model: the groups hold `pairs` disjoint pairs of a fractured and an intact
    X-ray. Each pair is in order with a probability of AUC, so all are with AUC ** pairs at most: n of n
    for Clopper and Pearson. At 0 likewise. (Obuchowski and Lieber, Academic Radiology 9 (2002) 526-530,
    set the problem, and solve it for normal scores.) Else, as where all scores are equal, the standard
    error of Hanley and McNeil, Radiology 143 (1982) 29-36, with groups for patients.
    """
    positives, negatives = len(np.unique(groups[labels])), len(np.unique(groups[~labels]))
    pairs = min(positives, negatives, len(np.unique(groups)) // 2)
    if not _NO_WIDTH < area < 1 - _NO_WIDTH:
        return share_bounds(round(area), pairs) if pairs else (0.0, 1.0)
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    reach = 1.96 * float(np.sqrt(spread / (positives * negatives)))
    return max(0.0, area - reach), min(1.0, area + reach)


def difference_bounds(one: Measure, other: Measure) -> Bounds:
    """Return bounds of the difference of two measures where all draws give the same difference."""
    return one.low - other.high, one.high - other.low


def without_nan(values: Any) -> Any:
    """Write what cannot be measured as null: JSON knows no NaN."""
    if isinstance(values, dict):
        return {key: without_nan(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [without_nan(value) for value in values]
    return None if isinstance(values, float) and math.isnan(values) else values
