"""Measures the test part for `training.evaluate`, every figure with its interval and its n."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from model.bundle import Calibration, Thresholds
from model.classifier import calibrate
from training.batches.examples import Example, groups_of
from training.evaluation.figures import Calls, measure_subgroups, measure_whole
from training.evaluation.intervals import Measure, difference_bounds
from training.evaluation.localisation import (
    best_box,
    box_overlap,
    cover,
    lies_on_fracture,
    overlap,
    peak_hits,
)
from training.evaluation.measures import auc
from training.evaluation.sample import Sample
from training.evaluation.scores import Scores


@dataclass(frozen=True, eq=False)
class ScoredPart(Sample):
    """A part of the data, with the network's scores and its calibrated probabilities."""

    examples: Sequence[Example]
    scores: Scores
    calibration: Calibration

    @classmethod
    def of(cls, examples: Sequence[Example], scores: Scores, calibration: Calibration) -> Self:
        """Calibrate the scores of these examples, in their order."""
        entries = [example.entry for example in examples]
        probabilities = calibrate(scores.fracture, calibration)
        return cls(entries, groups_of(examples), probabilities, examples, scores, calibration)


def measure(test: ScoredPart, thresholds: Thresholds) -> dict[str, Any]:
    """Measure everything that takes no further look at the pixels."""
    calls = Calls.of(test.probabilities, thresholds)
    return {
        **measure_whole(test, calls),
        "localisation": {"head": _localise_regions(test, thresholds)},
        "subgroups": measure_subgroups(test, calls),
    }


def _localise_regions(test: ScoredPart, thresholds: Thresholds) -> dict[str, Any]:
    """Measure where the map and an answer's best region lie; without a region nothing is hit."""
    where, hits, ious = test.scores.where, [], []
    for example, cells in zip(test.examples, where, strict=True):
        box = best_box(example, cells, thresholds.region) if example.boxes else None
        hits.append(box is not None and lies_on_fracture(example, box))
        ious.append(box_overlap(example, box) if box else 0.0)
    true_positives = _located(test) & (test.probabilities >= thresholds.low)
    return {
        **localise(test, where, thresholds.low, [cover(cells, thresholds.region) for cells in where]),
        "region_hits": test.share(np.array(hits), true_positives),
        "region_iou": test.mean(np.array(ious), true_positives),
    }


def _located(test: ScoredPart) -> np.ndarray:
    """Tell which X-rays have marked fractures: bool (n,)."""
    return np.array([bool(example.boxes) for example in test.examples])


def localise(test: ScoredPart, heat: np.ndarray, low: float, marked: Sequence[np.ndarray]) -> dict[str, Any]:
    """Measure where float (n, h, w) points, and what bool `marked` covers, where fractures are marked."""
    located = _located(test)
    hits = np.array([bool(e.boxes) and peak_hits(e, h) for e, h in zip(test.examples, heat, strict=True)])
    inside = np.array(
        [bool(e.boxes) and peak_hits(e, h, 0) for e, h in zip(test.examples, heat, strict=True)]
    )
    ious = np.array(
        [overlap(e, m) if e.boxes else np.nan for e, m in zip(test.examples, marked, strict=True)]
    )
    true_positives = located & (test.probabilities >= low)
    return {
        "peak_hits": test.share(hits, true_positives),
        "peak_hits_without_margin": test.share(inside, true_positives),
        "peak_hits_of_all_fractured": test.share(hits, located),
        "iou": test.mean(ious, true_positives & ~np.isnan(ious)),
    }


def compare(one: ScoredPart, other: ScoredPart) -> dict[str, Any]:
    """Compare the same X-rays scored twice: how `one` differs from `other`."""
    change = np.abs(one.probabilities - other.probabilities)
    areas = one.auc(), other.auc()
    difference = one.measure(
        lambda i: auc(one.probabilities[i], one.labels[i]) - auc(other.probabilities[i], one.labels[i]),
        lambda value, among: difference_bounds(*(Measure(**area) for area in areas)),
    )
    return {
        "auc": areas[0],
        "change_of_auc": difference,
        "mean_change_of_probability": one.mean(change),
        "largest_change_of_probability": float(change.max()),
    }
