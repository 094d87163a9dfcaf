"""Measures a sample of X-rays at a bundle's thresholds, as a whole and in each subgroup."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np

from model.bundle import Thresholds
from training.evaluation.intervals import Bounds, share_bounds
from training.evaluation.measures import (
    auc_within,
    average_precision,
    calibration_error,
    from_rates,
    predictive_values,
    reliability,
)
from training.evaluation.sample import Sample

_PREVALENCES = (0.05, 0.10, 0.20, 0.50)
FEWEST = 10
"""X-rays of a class that a figure of a subgroup rests on at least."""


@dataclass(frozen=True, eq=False)
class Calls:
    """Which X-rays are called fractured at the lower and at the upper threshold, both bool (n,)."""

    at_low: np.ndarray
    at_high: np.ndarray

    @classmethod
    def of(cls, probabilities: np.ndarray, thresholds: Thresholds) -> Self:
        """Call float (n,) at a bundle's thresholds."""
        return cls(probabilities >= thresholds.low, probabilities >= thresholds.high)


def measure_whole(sample: Sample, calls: Calls) -> dict[str, Any]:
    """Measure all X-rays together."""
    p, labels = sample.probabilities, sample.labels
    decided = ~calls.at_low | calls.at_high
    sources = np.array([entry.source for entry in sample.entries])
    return {
        "test": {
            "auc": sample.auc(),
            "auc_within_sources": sample.area(lambda i: auc_within(p[i], labels[i], sources[i])),
            "average_precision": sample.area(lambda i: average_precision(p[i], labels[i])),
            **_measure_operating_points(sample, calls),
            "sensitivity_where_decided": sample.share(calls.at_high, labels & decided),
            "specificity_where_decided": sample.share(~calls.at_low, ~labels & decided),
            "brier": sample.mean((p - labels) ** 2),
            "calibration_error": sample.measure(
                lambda i: calibration_error(p[i], labels[i]),
                lambda value, i: share_bounds(value, len(np.unique(sample.groups[i]))),
            ),
        },
        "fractured": int(labels.sum()),
        "predictive_values": [
            {"operating_point": name, "prevalence": prevalence, **_predict(sample, called, prevalence)}
            for name, called in (("low", calls.at_low), ("high", calls.at_high))
            for prevalence in _PREVALENCES
        ],
        "reliability": [asdict(one) for one in reliability(p, labels)],
    }


def _measure_operating_points(sample: Sample, calls: Calls) -> dict[str, Any]:
    """Measure what the calls are worth."""
    return {
        "sensitivity_at_low": sample.share(calls.at_low, sample.labels),
        "specificity_at_low": sample.share(~calls.at_low, ~sample.labels),
        "sensitivity_at_high": sample.share(calls.at_high, sample.labels),
        "specificity_at_high": sample.share(~calls.at_high, ~sample.labels),
        "indeterminate": sample.share(calls.at_low & ~calls.at_high),
    }


def _predict(sample: Sample, called: np.ndarray, prevalence: float) -> dict[str, Any]:
    """Compute PPV and NPV of a call, bool (n,), at a prevalence."""
    rates = sample.share(called, sample.labels), sample.share(~called, ~sample.labels)

    def value(which: int) -> dict[str, Any]:
        def exact(value: float, among: np.ndarray) -> Bounds:
            # Both grow with either rate, so the ends of the rates' intervals give those of the value's.
            ends = ((rates[0][end], rates[1][end]) for end in ("low", "high"))
            low, high = (from_rates(*end, prevalence)[which] for end in ends)
            return low, high

        return sample.measure(
            lambda i: predictive_values(called[i], sample.labels[i], prevalence)[which], exact
        )

    return {"ppv": value(0), "npv": value(1)}


def measure_subgroups(sample: Sample, calls: Calls) -> list[dict[str, Any]]:
    """Measure by region, view, hardware, size and source.

    A figure is left out where fewer than FEWEST X-rays of a class that it needs are in the subgroup.
    """
    return [
        {"name": name, "n": int(among.sum()), "fractured": int((among & sample.labels).sum())}
        | _figures(sample, among, calls)
        for name, among in _subgroups(sample).items()
    ]


def _subgroups(sample: Sample) -> dict[str, np.ndarray]:
    entries = sample.entries
    found: dict[str, np.ndarray] = {}
    for kind in ("region", "size", "source"):
        values = np.array([getattr(entry, kind) for entry in entries])
        found |= {f"{kind}: {value}": values == value for value in np.unique(values)}
    for view in ("frontal", "lateral", "oblique"):
        found[f"view: {view}"] = np.array([getattr(entry, view) for entry in entries])
    hardware = np.array([entry.hardware for entry in entries])
    return found | {"with hardware": hardware, "without hardware": ~hardware}


def _figures(sample: Sample, among: np.ndarray, calls: Calls) -> dict[str, Any]:
    fractured, intact = among & sample.labels, among & ~sample.labels
    figures: dict[str, Any] = {}
    if min(fractured.sum(), intact.sum()) >= FEWEST:
        figures["auc"] = sample.auc(among)
    if fractured.sum() >= FEWEST:
        figures["sensitivity_at_low"] = sample.share(calls.at_low, fractured)
        figures["sensitivity_at_high"] = sample.share(calls.at_high, fractured)
    if intact.sum() >= FEWEST:
        figures["specificity_at_low"] = sample.share(~calls.at_low, intact)
        figures["specificity_at_high"] = sample.share(~calls.at_high, intact)
    return figures
