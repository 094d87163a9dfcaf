"""Varies an example as positioning and exposure vary between X-rays, on its way into a training batch."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from model.letterbox import scale_pixels
from model.network import STRIDE
from training.examples import Example
from training.loss import UNKNOWN

OVERSAMPLING = 2
"""Examples are held at this multiple of the input size, so that turning them costs no sharpness."""

_TURN, _SCALE, _SHIFT, _CONTRAST, _GAMMA = 15.0, (0.85, 1.35), 0.08, (0.8, 1.2), (0.75, 1.3)


def augment(example: Example, input_size: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one variation: float32 (input_size, input_size, 1) and its cells (input_size / 16, ..., 1).

    Flipped left to right half of the time (a right hand becomes a left one), never upside down, which no
    radiograph is hung. A cell is 1 where it touches a fracture.
    """
    matrix = _draw_affine(example.square.shape[0], random)
    picture = _warp(Image.fromarray(example.square), matrix, Image.Resampling.BILINEAR)
    picture = picture.resize((input_size, input_size), Image.Resampling.HAMMING)
    values = np.asarray(picture, np.float32) / 255.0
    values = values ** random.uniform(*_GAMMA) * random.uniform(*_CONTRAST)
    square = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    mask = _warp(draw_fractures(example), matrix, Image.Resampling.NEAREST)
    return scale_pixels(square), cells(np.asarray(mask), input_size) if example.located else nowhere(
        input_size
    )


def draw_fractures(example: Example) -> Image.Image:
    """Paint the fractures white on black, at the size of the example's square: outlines, or else boxes."""
    mask = Image.new("L", example.square.shape[::-1])
    pen = ImageDraw.Draw(mask)
    for polygon in example.polygons:
        pen.polygon(polygon, fill=255, outline=255)
    if not example.polygons:
        for x, y, w, h in example.boxes:
            pen.rectangle((x, y, x + w, y + h), fill=255)
    return mask


def nowhere(input_size: int) -> np.ndarray:
    """Cells of an X-ray whose fracture nobody has marked: UNKNOWN, float32 as of `cells`."""
    return np.full((input_size // STRIDE, input_size // STRIDE, 1), UNKNOWN, np.float32)


def cells(mask: np.ndarray, input_size: int) -> np.ndarray:
    """Reduce uint8 (side, side) to float32 (input_size / 16, input_size / 16, 1): 1 where a cell is touched.

    A fracture that only grazes a cell, under a twelfth of its area, leaves it out.
    """
    n = input_size // STRIDE
    step = mask.shape[0] // n
    covered = mask.reshape(n, step, n, step).mean(axis=(1, 3)) / 255.0
    # The smallest fractures cover a twelfth of no cell: their fullest cell counts all the same.
    return ((covered >= 1 / 12) | ((covered > 0) & (covered == covered.max())))[..., None].astype(np.float32)


def _draw_affine(side: int, random: np.random.Generator) -> tuple[float, ...]:
    """Coefficients that take an output pixel to its source, for Pillow."""
    turn = np.deg2rad(random.uniform(-_TURN, _TURN))
    scale = np.exp(random.uniform(*np.log(_SCALE)))
    flip = random.choice([-1.0, 1.0])
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    middle = np.full(2, side / 2)
    shift = random.uniform(-_SHIFT, _SHIFT, 2) * side
    offset = middle + shift - linear @ middle
    return (linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1])


def _warp(picture: Image.Image, matrix: tuple[float, ...], filter_: Image.Resampling) -> Image.Image:
    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, resample=filter_)
