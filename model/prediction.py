"""Defines the model's answer about one radiograph, and what of it the overlay draws."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from model.image_warnings import ImageWarning
from model.regions import ScoredRegion


class OperatingPoints(NamedTuple):
    """The thresholds on probabilities: below `low` no fracture, from `high` a fracture."""

    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Prediction:
    """The model's answer about one radiograph.

    `finding` is fracture, no_fracture or indeterminate (between the bundle's thresholds). `probability` is
    calibrated. `regions` is empty for no_fracture. `cells` is float32 (n, n) in 0..1, where, over the square
    that the network sees. `model` is name and version. `points` are the thresholds behind `finding`.
    """

    finding: str
    probability: float
    regions: tuple[ScoredRegion, ...]
    cells: np.ndarray
    field: tuple[int, int, int, int]
    model: str
    warnings: tuple[ImageWarning, ...] = ()
    points: OperatingPoints | None = None


@dataclass(frozen=True)
class Outline:
    """A region that is drawn: `solid` where the model is certain of it, dashed where it doubts."""

    box: tuple[int, int, int, int]
    score: float
    solid: bool


@dataclass(frozen=True)
class Outlines:
    """What an overlay shows: the outlines and, in its caption, finding, probability and `model`."""

    finding: str
    probability: float
    model: str
    regions: tuple[Outline, ...]

    def to_json(self) -> dict[str, Any]:
        """Write it for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: dict[str, Any]) -> Self:
        """Undo `to_json`."""
        regions = tuple(Outline(**region | {"box": tuple(region["box"])}) for region in written["regions"])
        return cls(**written | {"regions": regions})


def outline_regions(
    regions: Iterable[ScoredRegion], finding: str, points: OperatingPoints | None
) -> tuple[Outline, ...]:
    """Choose the outlines: solid from the upper operating point on, dashed from the lower, none below it.

    Without the points, which results of old versions lack, a fracture's are solid and all others dashed.
    """
    if points is None:
        return tuple(Outline(region.box, region.score, finding == "fracture") for region in regions)
    return tuple(
        Outline(region.box, region.score, region.score >= points.high)
        for region in regions
        if region.score >= points.low
    )


def format_probability(probability: float) -> str:
    """Format a probability for a person: two digits; `< 0.01` and `> 0.99` at the ends."""
    if probability < 0.01:
        return "< 0.01"
    return "> 0.99" if probability > 0.99 else f"{probability:.2f}"


def cells_to_bytes(cells: np.ndarray) -> bytes:
    """Store cells (n, n) in 0..1 as n * n bytes, row by row, each in steps of 1/255."""
    return np.round(np.clip(cells, 0, 1) * 255).astype(np.uint8).tobytes()


def cells_from_bytes(stored: bytes) -> np.ndarray:
    """Undo `cells_to_bytes`, up to its rounding. Raises ValueError where they form no square."""
    side = round(len(stored) ** 0.5)
    return np.frombuffer(stored, np.uint8).reshape(side, side).astype(np.float32) / 255
