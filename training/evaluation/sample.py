"""Measures labelled X-rays with their probabilities: all figures are taken of such a sample."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from training.data.manifest import ManifestRow
from training.evaluation.intervals import UNKNOWN, Bounds, auc_bounds, mean_with_interval, with_interval
from training.evaluation.measures import auc


@dataclass(frozen=True, eq=False)
class Sample:
    """X-rays with `groups` str (n,), which tie what may be one patient's, and `probabilities` float (n,)."""

    entries: Sequence[ManifestRow]
    groups: np.ndarray
    probabilities: np.ndarray

    @cached_property
    def labels(self) -> np.ndarray:
        """Whether each is fractured, bool (n,)."""
        return np.array([entry.fractured for entry in self.entries], bool)

    def measure(
        self,
        statistic: Callable[[np.ndarray], float],
        exact: Callable[[float, np.ndarray], Bounds],
        among: np.ndarray | None = None,
    ) -> dict[str, Any]:
        """Compute `statistic(indices)` and its interval on those `among`, bool (n,), or on all.

        `exact(value, indices)` gives the interval where a bootstrap has no width.
        """
        kept = self._kept(among)
        if not len(kept):
            return asdict(UNKNOWN)
        return asdict(
            with_interval(lambda i: statistic(kept[i]), self.groups[kept], lambda value: exact(value, kept))
        )

    def area(
        self, statistic: Callable[[np.ndarray], float], among: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Compute an area under some ROC curve, or what is 1 where that is."""
        return self.measure(
            statistic, lambda value, i: auc_bounds(value, self.labels[i], self.groups[i]), among
        )

    def auc(self, among: np.ndarray | None = None) -> dict[str, Any]:
        """Measure the area under the ROC curve."""
        return self.area(lambda i: auc(self.probabilities[i], self.labels[i]), among)

    def mean(self, values: np.ndarray, among: np.ndarray | None = None) -> dict[str, Any]:
        """Average values in 0..1, (n,), of those `among`, bool (n,), or of all."""
        kept = self._kept(among)
        return asdict(mean_with_interval(values[kept], self.groups[kept]) if len(kept) else UNKNOWN)

    def share(self, marked: np.ndarray, among: np.ndarray | None = None) -> dict[str, Any]:
        """Measure the share of those `among` that are `marked`, both bool (n,)."""
        return self.mean(marked, among)

    def _kept(self, among: np.ndarray | None) -> np.ndarray:
        return np.arange(len(self.labels)) if among is None else np.flatnonzero(among)
