"""Measures a sample of X-rays at a bundle's thresholds, as a whole and in each subgroup."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from model.bundle import Thresholds
from training.evaluation.intervals import Bounds, share_bounds
from training.evaluation.sample import Sample
from training.measures import (
    auc_within,
    average_precision,
    calibration_error,
    from_rates,
    predictive_values,
    reliability,
)

PREVALENCES = (0.05, 0.10, 0.20, 0.50)
FEWEST = 10
"""X-rays of a class that a figure of a subgroup rests on at least."""


def as_a_whole(sample: Sample, thresholds: Thresholds) -> dict[str, Any]:
    """Measure all X-rays together."""
    p, labels = sample.probabilities, sample.labels
    at_low, at_high = p >= thresholds.low, p >= thresholds.high
    decided = ~at_low | at_high
    sources = np.array([entry.source for entry in sample.entries])
    return {
        "test": {
            "auc": sample.auc(),
            "auc_within_sources": sample.area(lambda i: auc_within(p[i], labels[i], sources[i])),
            "average_precision": sample.area(lambda i: average_precision(p[i], labels[i])),
            **operating_points(sample, at_low, at_high),
            "sensitivity_where_decided": sample.share(at_high, labels & decided),
            "specificity_where_decided": sample.share(~at_low, ~labels & decided),
            "brier": sample.mean((p - labels) ** 2),
            "calibration_error": sample.measure(
                lambda i: calibration_error(p[i], labels[i]),
                lambda value, i: share_bounds(value, len(np.unique(sample.groups[i]))),
            ),
        },
        "fractured": int(labels.sum()),
        "predictive_values": [
            {"operating_point": name, "prevalence": prevalence, **_predict(sample, called, prevalence)}
            for name, called in (("low", at_low), ("high", at_high))
            for prevalence in PREVALENCES
        ],
        "reliability": [asdict(one) for one in reliability(p, labels)],
    }


def operating_points(sample: Sample, at_low: np.ndarray, at_high: np.ndarray) -> dict[str, Any]:
    """Measure what two calls, both bool (n,), are worth."""
    return {
        "sensitivity_at_low": sample.share(at_low, sample.labels),
        "specificity_at_low": sample.share(~at_low, ~sample.labels),
        "sensitivity_at_high": sample.share(at_high, sample.labels),
        "specificity_at_high": sample.share(~at_high, ~sample.labels),
        "indeterminate": sample.share(at_low & ~at_high),
    }


def _predict(sample: Sample, called: np.ndarray, prevalence: float) -> dict[str, Any]:
    """PPV and NPV of a call, bool (n,), where so many are fractured."""
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


def subgroups(sample: Sample, thresholds: Thresholds) -> list[dict[str, Any]]:
    """Measure by region, view, hardware, size and source.

    A figure is left out where fewer than FEWEST X-rays of a class that it needs are in the subgroup.
    """
    at_low, at_high = sample.probabilities >= thresholds.low, sample.probabilities >= thresholds.high
    return [
        {"name": name, "n": int(among.sum()), "fractured": int((among & sample.labels).sum())}
        | _figures(sample, among, at_low, at_high)
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


def _figures(sample: Sample, among: np.ndarray, at_low: np.ndarray, at_high: np.ndarray) -> dict[str, Any]:
    fractured, intact = among & sample.labels, among & ~sample.labels
    figures: dict[str, Any] = {}
    if min(fractured.sum(), intact.sum()) >= FEWEST:
        figures["auc"] = sample.auc(among)
    if fractured.sum() >= FEWEST:
        figures["sensitivity_at_low"] = sample.share(at_low, fractured)
        figures["sensitivity_at_high"] = sample.share(at_high, fractured)
    if intact.sum() >= FEWEST:
        figures["specificity_at_low"] = sample.share(~at_low, intact)
        figures["specificity_at_high"] = sample.share(~at_high, intact)
    return figures
