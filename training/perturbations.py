"""What happens to X-rays on their way, done on purpose for `training.evaluate`: pixels in, pixels out."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

Perturbation = Callable[[np.ndarray], np.ndarray]

_BORDER = 0.1


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=25)
    return np.asarray(Image.open(stored))


def _noise(pixels: np.ndarray) -> np.ndarray:
    grain = np.random.default_rng(pixels.size).normal(0, 12, pixels.shape)
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _turn(degrees: float) -> Perturbation:
    return lambda pixels: np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR))


def _contrast(factor: float) -> Perturbation:
    return lambda pixels: np.clip((pixels - 127.5) * factor + 127.5, 0, 255).astype(np.uint8)


def mask_border(pixels: np.ndarray) -> np.ndarray:
    """Blacken the outer tenth on each side, where markers, letters and edges of the plate are."""
    height, width = pixels.shape
    y, x = round(height * _BORDER), round(width * _BORDER)
    masked = np.zeros_like(pixels)
    masked[y : height - y, x : width - x] = pixels[y : height - y, x : width - x]
    return masked


PERTURBATIONS: dict[str, Perturbation] = {
    "JPEG at quality 25": _jpeg,
    "noise, deviation 12 of 255": _noise,
    "turned 10 degrees left": _turn(10),
    "turned 10 degrees right": _turn(-10),
    "contrast x 0.6": _contrast(0.6),
    "contrast x 1.5": _contrast(1.5),
    "inverted": lambda pixels: 255 - pixels,
    "border masked": mask_border,
}
