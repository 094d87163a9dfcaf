"""What is measured on the test part, for `training.evaluate`; every figure with its interval and its n."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from model.bundle import Calibration, Thresholds
from model.classifier import calibrate
from training.examples import Example, groups_of, labels_of
from training.localisation import overlap, peak_hits
from training.measures import (
    Measure,
    auc,
    auc_within,
    average_precision,
    calibration_error,
    predictive_values,
    reliability,
    with_interval,
)
from training.scores import Scores

PREVALENCES = (0.05, 0.10, 0.20, 0.50)
_FEWEST = 20


@dataclass(frozen=True)
class Part:
    """A part of the data, and what the network says of it, calibrated."""

    examples: Sequence[Example]
    scores: Scores
    calibration: Calibration

    @cached_property
    def probabilities(self) -> np.ndarray:
        """Of a fracture, float64 (n,)."""
        return calibrate(self.scores.fracture, self.calibration)

    @cached_property
    def labels(self) -> np.ndarray:
        """Whether each is fractured, bool (n,)."""
        return labels_of(self.examples)

    @cached_property
    def groups(self) -> np.ndarray:
        """The group of each, str (n,)."""
        return groups_of(self.examples)

    def measure(
        self, statistic: Callable[[np.ndarray], float], among: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Compute `statistic(indices)` and its interval on those `among`, bool (n,), or on all."""
        kept = np.arange(len(self.labels)) if among is None else np.flatnonzero(among)
        if not len(kept):
            return asdict(Measure(float("nan"), float("nan"), float("nan"), 0))
        return asdict(with_interval(lambda i: statistic(kept[i]), self.groups[kept], len(kept)))

    def auc(self, among: np.ndarray | None = None) -> dict[str, Any]:
        """Area under the ROC curve."""
        return self.measure(lambda i: auc(self.probabilities[i], self.labels[i]), among)

    def share(self, marked: np.ndarray, among: np.ndarray | None = None) -> dict[str, Any]:
        """Give the share of those `among` that are `marked`, both bool (n,)."""
        return self.measure(lambda i: float(marked[i].mean()), among)


def measure(test: Part, thresholds: Thresholds) -> dict[str, Any]:
    """Measure everything that takes no further look at the pixels."""
    p, labels = test.probabilities, test.labels
    at_low, at_high = p >= thresholds.low, p >= thresholds.high
    decided = ~at_low | at_high
    sources = np.array([example.entry.source for example in test.examples])
    return {
        "test": {
            "auc": test.auc(),
            "auc_within_sources": test.measure(lambda i: auc_within(p[i], labels[i], sources[i])),
            "average_precision": test.measure(lambda i: average_precision(p[i], labels[i])),
            "sensitivity_at_low": test.share(at_low, labels),
            "specificity_at_low": test.share(~at_low, ~labels),
            "sensitivity_at_high": test.share(at_high, labels),
            "specificity_at_high": test.share(~at_high, ~labels),
            "indeterminate": test.share(~decided),
            "sensitivity_where_decided": test.share(at_high, labels & decided),
            "specificity_where_decided": test.share(~at_low, ~labels & decided),
            "brier": test.measure(lambda i: float(((p[i] - labels[i]) ** 2).mean())),
            "calibration_error": test.measure(lambda i: calibration_error(p[i], labels[i])),
        },
        "fractured": int(labels.sum()),
        "predictive_values": [
            {"operating_point": name, "prevalence": prevalence, **_predict(test, called, prevalence)}
            for name, called in (("low", at_low), ("high", at_high))
            for prevalence in PREVALENCES
        ],
        "reliability": [asdict(one) for one in reliability(p, labels)],
        "localisation": {"head": localise(test, test.scores.where, thresholds.low, thresholds.region)},
        "subgroups": subgroups(test, thresholds),
    }


def _predict(test: Part, called: np.ndarray, prevalence: float) -> dict[str, Any]:
    """PPV and NPV of a call, bool (n,), where so many are fractured."""

    def both(i: np.ndarray) -> tuple[float, float]:
        return predictive_values(called[i], test.labels[i], prevalence)

    return {"ppv": test.measure(lambda i: both(i)[0]), "npv": test.measure(lambda i: both(i)[1])}


def localise(test: Part, heat: np.ndarray, low: float, threshold: float) -> dict[str, Any]:
    """Measure where float (n, h, w) points, among fractured X-rays whose fractures are marked."""
    marked = np.array([bool(example.boxes) for example in test.examples])
    hits = np.array([bool(e.boxes) and peak_hits(e, h) for e, h in zip(test.examples, heat, strict=True)])
    inside = np.array(
        [bool(e.boxes) and peak_hits(e, h, 0) for e, h in zip(test.examples, heat, strict=True)]
    )
    ious = np.array(
        [overlap(e, h, threshold) if e.boxes else np.nan for e, h in zip(test.examples, heat, strict=True)]
    )
    true_positives = marked & (test.probabilities >= low)
    return {
        "peak_hits": test.share(hits, true_positives),
        "peak_hits_without_margin": test.share(inside, true_positives),
        "peak_hits_of_all_fractured": test.share(hits, marked),
        "iou": test.measure(lambda i: float(np.nanmean(ious[i])), true_positives),
    }


def subgroups(test: Part, thresholds: Thresholds) -> list[dict[str, Any]]:
    """Measure by region, view, hardware, size and source; a subgroup under 20 X-rays gets its n alone."""
    entries = [example.entry for example in test.examples]
    found: dict[str, np.ndarray] = {}
    for kind in ("region", "size", "source"):
        values = np.array([getattr(entry, kind) for entry in entries])
        found |= {f"{kind}: {value}": values == value for value in np.unique(values)}
    for view in ("frontal", "lateral", "oblique"):
        found[f"view: {view}"] = np.array([getattr(entry, view) for entry in entries])
    hardware = np.array([entry.hardware for entry in entries])
    found |= {"with hardware": hardware, "without hardware": ~hardware}
    at_low, at_high = test.probabilities >= thresholds.low, test.probabilities >= thresholds.high
    return [
        {"name": name, "n": int(among.sum()), "fractured": int((among & test.labels).sum())}
        | (
            {
                "auc": test.auc(among),
                "sensitivity_at_low": test.share(at_low, among & test.labels),
                "specificity_at_high": test.share(~at_high, among & ~test.labels),
            }
            if among.sum() >= _FEWEST
            else {}
        )
        for name, among in found.items()
    ]


def change_of(one: Part, other: Part) -> dict[str, Any]:
    """Compare the same X-rays scored twice: how `one` differs from `other`."""
    change = np.abs(one.probabilities - other.probabilities)
    difference = one.measure(
        lambda i: auc(one.probabilities[i], one.labels[i]) - auc(other.probabilities[i], one.labels[i])
    )
    return {
        "auc": one.auc(),
        "change_of_auc": difference,
        "mean_change_of_probability": one.measure(lambda i: float(change[i].mean())),
        "largest_change_of_probability": float(change.max()),
    }
