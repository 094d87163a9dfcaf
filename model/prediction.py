"""Defines the model's answer about one radiograph: the classifier makes it, the overlay draws it."""

from dataclasses import dataclass

import numpy as np

from model.image_warnings import ImageWarning
from model.regions import ScoredRegion


@dataclass(frozen=True, eq=False)
class Prediction:
    """The model's answer about one radiograph.

    `finding` is fracture, no_fracture or indeterminate (between the bundle's thresholds). `probability` is
    calibrated. `regions` is empty for no_fracture. `cells` is float32 (n, n) in 0..1, where, over the square
    that the network sees. `model` is name and version, for the overlay's caption.
    """

    finding: str
    probability: float
    regions: tuple[ScoredRegion, ...]
    cells: np.ndarray
    field: tuple[int, int, int, int]
    model: str
    warnings: tuple[ImageWarning, ...] = ()


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
