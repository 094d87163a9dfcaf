"""The second half of the one pixel path: a radiograph becomes the network's input, and boxes come back.

Training, evaluation and serving all go through here; change a pixel and PREPROCESSING_VERSION changes too,
so that a bundle trained before is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

PREPROCESSING_VERSION = 1


@dataclass(frozen=True)
class Letterbox:
    """Where a (height, width) picture lies in a square input of `size` pixels: centred, its shape kept.

    `scale` is input pixels per picture pixel; `left` and `top` are the black margins in input pixels.
    """

    size: int
    scale: float
    left: int
    top: int
    inner_width: int
    inner_height: int

    @classmethod
    def of(cls, width: int, height: int, size: int) -> Letterbox:
        """Fit a picture of `width` x `height` into `size` x `size`."""
        scale = size / max(width, height)
        inner_width, inner_height = max(1, round(width * scale)), max(1, round(height * scale))
        left, top = (size - inner_width) // 2, (size - inner_height) // 2
        return cls(size, scale, left, top, inner_width, inner_height)

    def into(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Map x, y, w, h from the picture's pixels to the input's."""
        x, y, w, h = (value * self.scale for value in box)
        return x + self.left, y + self.top, w, h

    def back(self, box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """Map x, y, w, h from the input's pixels to the picture's."""
        x, y, w, h = box
        return (x - self.left) / self.scale, (y - self.top) / self.scale, w / self.scale, h / self.scale

    def crop(self, square: np.ndarray) -> np.ndarray:
        """Cut the margins off an array (size, size, ...)."""
        return square[self.top : self.top + self.inner_height, self.left : self.left + self.inner_width]


def to_square(pixels: np.ndarray, size: int) -> np.ndarray:
    """Letter-box uint8 (height, width) to uint8 (size, size) on black.

    The margins hide the original size, which tells how likely a fracture is in some collections.
    """
    height, width = pixels.shape
    place = Letterbox.of(width, height, size)
    inner = Image.fromarray(pixels).resize((place.inner_width, place.inner_height), Image.Resampling.HAMMING)
    square = np.zeros((size, size), np.uint8)
    place.crop(square)[:] = np.asarray(inner)
    return square


def scale_pixels(square: np.ndarray) -> np.ndarray:
    """Scale uint8 (..., size, size) to float32 (..., size, size, 1) in [-1, 1], as ResNetV2 expects."""
    return (square.astype(np.float32) / 127.5 - 1.0)[..., np.newaxis]


def to_input(pixels: np.ndarray, size: int) -> np.ndarray:
    """Turn uint8 (height, width) into the network's input, float32 (size, size, 1) in [-1, 1]."""
    return scale_pixels(to_square(pixels, size))
