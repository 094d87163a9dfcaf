"""Compares a bundle's answers in int8 with those in float, X-ray by X-ray."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from model.bundle import CHECK, Bundle, Description, Thresholds
from model.engines import Engine
from model.network import STRIDE
from model.radiograph_check import RadiographCheck
from model.regions import ScoredRegion, find_regions
from training.batches.examples import Example
from training.evaluation.findings import ScoredPart
from training.evaluation.intervals import Measure, difference_bounds
from training.evaluation.measures import auc
from training.evaluation.scores import Scores
from training.evaluation.stored_scores import run_engine

NEAR = 0.01
"""A finding may change where the probability is as near as this to a threshold."""


@dataclass(frozen=True, eq=False)
class Answers:
    """What a bundle says of a part in one arithmetic, each an array or a list over its X-rays.

    `findings` and `checked` are 0, 1 or 2: no fracture, indeterminate, fracture; refused, doubted, taken.
    `best` is the first region, None where there is none.
    """

    part: ScoredPart
    findings: np.ndarray
    checked: np.ndarray
    best: list[ScoredRegion | None]


def answer(bundle: Bundle, engine: Engine, examples: Sequence[Example]) -> Answers:
    """Ask an engine that runs the bundle about the examples."""
    about = bundle.description
    made = run_engine(engine, [example.square for example in examples], engine.name)
    scores = Scores(made["fracture"], made["where"])
    part = ScoredPart.of(examples, scores, about.calibration)
    findings = _steps(part.probabilities, about.thresholds.low, about.thresholds.high)
    check = RadiographCheck.from_json((bundle.folder / CHECK).read_text(encoding="utf-8"))
    looks = np.array([check.score(features) for features in made["features"]])
    best = [
        _best(about, example, cells) if finding else None
        for example, cells, finding in zip(examples, scores.where, findings, strict=True)
    ]
    return Answers(part, findings, _steps(looks, check.refused, check.doubtful), best)


def compare(thresholds: Thresholds, int8: Answers, real: Answers) -> dict[str, Any]:
    """Measure how answers in int8 differ from those in float, `real`, at the bundle's thresholds.

    Every share is of all X-rays, with its 95 % interval, unless its name says another base.
    """
    part, probabilities = real.part, real.part.probabilities
    change = np.abs(int8.part.probabilities - probabilities)
    changed = int8.findings != real.findings
    far = np.min([np.abs(probabilities - one) for one in (thresholds.low, thresholds.high)], axis=0) > NEAR
    moved = np.array([_moved(*pair) for pair in zip(part.examples, int8.best, real.best, strict=True)], bool)
    shown = np.array([bool(one or other) for one, other in zip(int8.best, real.best, strict=True)], bool)
    areas = part.auc(), int8.part.auc()
    return {
        "auc": {"float": areas[0], "int8": areas[1]},
        "auc_loss": part.measure(
            lambda i: auc(probabilities[i], part.labels[i]) - auc(int8.part.probabilities[i], part.labels[i]),
            lambda value, among: difference_bounds(*(Measure(**area) for area in areas)),
        ),
        "findings_changed": part.share(changed),
        "findings_changed_beyond": part.share(changed & far),
        "mean_change_of_probability": part.mean(change),
        "largest_change_of_probability": float(change.max()),
        "regions_moved": part.share(moved),
        "regions_moved_of_shown": part.share(moved, shown),
        "checks_changed": part.share(int8.checked != real.checked),
    }


def _steps(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return (values >= low).astype(int) + (values >= high)


def _best(about: Description, example: Example, cells: np.ndarray) -> ScoredRegion | None:
    found = find_regions(cells, about.thresholds.region, example.letterbox)
    return found[0] if found else None


def _moved(example: Example, one: ScoredRegion | None, other: ScoredRegion | None) -> bool:
    """Whether an edge is off by more than a cell, or a region is there in one arithmetic alone."""
    if not one or not other:
        return one is not other
    cell = STRIDE / example.letterbox.scale
    (x, y, w, h), (left, top, width, height) = one.box, other.box
    edges = np.array([x - left, y - top, x + w - left - width, y + h - top - height])
    # Boxes are rounded to whole pixels.
    return bool(np.abs(edges).max() > cell + 1)
