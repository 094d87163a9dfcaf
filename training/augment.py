"""Varies an example as positioning and exposure vary between X-rays, on its way into a training batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from model.letterbox import Letterbox, scale_pixels
from model.network import STRIDE
from training.examples import Example
from training.loss import UNKNOWN

OVERSAMPLING = 2
"""Examples are held at this multiple of the input size, so that turning them costs no sharpness."""

_TURN, _SCALE, _SHIFT = 15.0, (0.85, 1.35), 0.08
_GAMMA, _EXPOSURE, _CONTRAST, _INVERTED = (0.75, 1.3), (0.8, 1.2), (0.6, 1.6), 0.1
_NOISY, _NOISE = 0.5, 10.0
_AIMED, _OFF_CENTRE, _TISSUE_CELLS = 0.75, 0.35, 16


def augment(
    example: Example,
    input_size: int,
    random: np.random.Generator,
    window: float = 1.0,
    tones: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one variation: float32 (input_size, input_size, 1) and its cells (input_size / 16, ..., 1).

    Flipped left to right half of the time (a right hand becomes a left one), never upside down, which no
    radiograph is hung. A cell is 1 where it touches a fracture. `window` is the share of the square's side
    that is seen: a window lies where there is tissue, and mostly on the fracture if there is one. `tones`, 0
    to 1, is how far contrast varies and how much noise half of them have; at 1 one in ten is inverted.
    """
    variation = draw_variation(example, random, window, tones)
    seen = round(example.square.shape[0] * window)
    exposed = Image.fromarray(_expose(example, variation.grays))
    picture = _warp(exposed, seen, variation.matrix, Image.Resampling.BILINEAR)
    square = np.asarray(picture.resize((input_size, input_size), Image.Resampling.HAMMING))
    if variation.noise:
        grain = random.normal(0, variation.noise, square.shape)
        square = np.round(np.clip(square + grain, 0, 255)).astype(np.uint8)
    if not example.located:
        return scale_pixels(square), nowhere(input_size)
    if not example.boxes:
        return scale_pixels(square), np.zeros_like(nowhere(input_size))
    mask = _warp(draw_fractures(example), seen, variation.matrix, Image.Resampling.NEAREST)
    return scale_pixels(square), cells(np.asarray(mask), input_size)


@dataclass(frozen=True, eq=False)
class Variation:
    """What is done to one example, in numbers: Pillow does it here, `training.loop` on an accelerator.

    `matrix` takes a pixel of the window to its source in the example's square. `grays` is uint8 (256,), what
    each gray becomes inside the margins. `noise` is its deviation in grays.
    """

    matrix: tuple[float, ...]
    grays: np.ndarray
    noise: float


def draw_variation(example: Example, random: np.random.Generator, window: float, tones: float) -> Variation:
    """Draw one variation of an example; `window` and `tones` as of `augment`."""
    side = example.square.shape[0]
    seen = round(side * window)
    middle = np.full(2, side / 2) + random.uniform(-_SHIFT, _SHIFT, 2) * side
    if window < 1:
        aimed = example.boxes and random.random() < _AIMED
        middle = (_on_fracture if aimed else _on_tissue)(example, random)
        middle += random.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2) * seen
    return Variation(
        matrix=_draw_affine(seen, middle, random),
        grays=_draw_grays(random, tones),
        noise=tones * random.uniform(0, _NOISE) if tones and random.random() < _NOISY else 0.0,
    )


def draw_fractures(example: Example) -> Image.Image:
    """Paint the fractures white on black, at the size of the example's square: by outline, or else by box."""
    mask = Image.new("L", example.square.shape[::-1])
    pen = ImageDraw.Draw(mask)
    for polygon in example.polygons:
        pen.polygon(polygon, fill=255, outline=255)
    points = np.array([point for polygon in example.polygons for point in polygon]).reshape(-1, 2)
    for x, y, w, h in example.boxes:
        if not ((points >= (x, y)) & (points <= (x + w, y + h))).all(axis=1).any():
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
    covered = np.asarray(Image.fromarray(mask).convert("F").resize((n, n), Image.Resampling.BOX)) / 255.0
    # The smallest fractures cover a twelfth of no cell: their fullest cell counts all the same.
    return ((covered >= 1 / 12) | ((covered > 0) & (covered == covered.max())))[..., None].astype(np.float32)


def _on_fracture(example: Example, random: np.random.Generator) -> np.ndarray:
    """Draw a point, (x, y), inside one of the fractures' boxes."""
    x, y, width, height = example.boxes[random.integers(len(example.boxes))]
    return np.array([x, y]) + random.uniform(0, 1, 2) * (width, height)


def _on_tissue(example: Example, random: np.random.Generator) -> np.ndarray:
    """Draw a point, (x, y), the sooner the brighter its surroundings are: bone before flesh before air."""
    n = _TISSUE_CELLS
    bright = np.asarray(Image.fromarray(example.square).resize((n, n), Image.Resampling.BOX), np.float64) + 1
    row, column = divmod(int(random.choice(n * n, p=bright.ravel() / bright.sum())), n)
    return (np.array([column, row]) + random.uniform(0, 1, 2)) * example.square.shape[0] / n


def _draw_grays(random: np.random.Generator, tones: float) -> np.ndarray:
    """Draw what each gray becomes: uint8 (256,)."""
    gray = np.linspace(0, 1, 256) ** random.uniform(*_GAMMA) * random.uniform(*_EXPOSURE)
    if tones:
        gray = (gray - 0.5) * np.exp(tones * random.uniform(*np.log(_CONTRAST))) + 0.5
        if random.random() < tones * _INVERTED:
            gray = 1 - gray
    return np.round(np.clip(gray, 0, 1) * 255).astype(np.uint8)


def _expose(example: Example, grays: np.ndarray) -> np.ndarray:
    """Vary the tones of the radiograph, not the black of the margins: uint8 (side, side)."""
    place = Letterbox.of(example.entry.width, example.entry.height, example.square.shape[0])
    exposed = example.square.copy()
    place.crop(exposed)[:] = grays[place.crop(example.square)]
    return exposed


def _draw_affine(seen: int, middle: np.ndarray, random: np.random.Generator) -> tuple[float, ...]:
    """Coefficients that take a pixel of `seen` x `seen` around `middle` to its source, for Pillow."""
    turn = np.deg2rad(random.uniform(-_TURN, _TURN))
    scale = np.exp(random.uniform(*np.log(_SCALE)))
    flip = random.choice([-1.0, 1.0])
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    offset = middle - linear @ np.full(2, seen / 2)
    return (linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1])


def _warp(
    picture: Image.Image, side: int, matrix: tuple[float, ...], filter_: Image.Resampling
) -> Image.Image:
    return picture.transform((side, side), Image.Transform.AFFINE, matrix, resample=filter_)
