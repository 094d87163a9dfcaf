"""Fits a radiograph into the network's input, and boxes back: the second half of the one pixel path.

Training, evaluation and serving all use it. A change that changes a pixel needs a new PREPROCESSING_VERSION,
so that bundles trained before are refused.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from PIL import Image

from model.exposed_field import ExposedField, find_field

PREPROCESSING_VERSION = 2


@dataclass(frozen=True)
class Letterbox:
    """Where a picture's field lies in a square input of `size` pixels: centred, its shape kept.

    `x`, `y`, `width` and `height` are the field's in the picture's pixels. `scale` is input pixels per
    picture pixel; `left` and `top` are the black margins in input pixels.
    """

    size: int
    scale: float
    left: int
    top: int
    inner_width: int
    inner_height: int
    x: int
    y: int
    width: int
    height: int

    @classmethod
    def of(cls, width: int, height: int, size: int, x: int = 0, y: int = 0) -> Self:
        """Fit a field of `width` x `height`, `x` and `y` into its picture, into `size` x `size`."""
        scale = size / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (size - inner_width) // 2, (size - inner_height) // 2
        return cls(size, scale, left, top, inner_width, inner_height, x, y, width, height)

    @classmethod
    def of_field(cls, field: ExposedField, size: int) -> Self:
        """Fit an exposed field into `size` x `size`."""
        return cls.of(field.width, field.height, size, field.left, field.top)

    def into(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Map x, y, w, h from the picture's pixels to the input's."""
        x, y, w, h = box
        return (
            (x - self.x) * self.scale + self.left,
            (y - self.y) * self.scale + self.top,
            w * self.scale,
            h * self.scale,
        )

    def back(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Map x, y, w, h from the input's pixels to the picture's."""
        x, y, w, h = box
        return (
            (x - self.left) / self.scale + self.x,
            (y - self.top) / self.scale + self.y,
            w / self.scale,
            h / self.scale,
        )

    def crop(self, square: np.ndarray) -> np.ndarray:
        """Cut the margins off an array (size, size, ...)."""
        return square[self.top : self.top + self.inner_height, self.left : self.left + self.inner_width]


def to_square(pixels: np.ndarray, size: int, field: ExposedField | None = None) -> np.ndarray:
    """Letter-box the exposed field of uint8 (height, width) to uint8 (size, size) on black, bones white.

    The margins hide the original size, from which a fracture is predictable in some collections. Without
    `field` it is found.
    """
    field = field or find_field(pixels)
    place = Letterbox.of_field(field, size)
    box = (field.left, field.top, field.left + field.width, field.top + field.height)
    inner = Image.fromarray(pixels).resize(
        (place.inner_width, place.inner_height), Image.Resampling.HAMMING, box
    )
    square = np.zeros((size, size), np.uint8)
    place.crop(square)[:] = field.levels()[np.asarray(inner)]
    return square


def scale_pixels(square: np.ndarray) -> np.ndarray:
    """Scale uint8 (..., size, size) to float32 (..., size, size, 1) in [-1, 1], as ResNetV2 expects."""
    return (square.astype(np.float32) / 127.5 - 1.0)[..., np.newaxis]


def to_input(pixels: np.ndarray, size: int, field: ExposedField | None = None) -> np.ndarray:
    """Turn uint8 (height, width) into the network's input, float32 (size, size, 1) in [-1, 1]."""
    return scale_pixels(to_square(pixels, size, field))
