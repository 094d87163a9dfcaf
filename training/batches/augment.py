"""Varies an example as positioning and exposure vary between X-rays, on its way into a training batch."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from model.letterbox import scale_pixels
from model.network import STRIDE
from training.batches.examples import Example
from training.network.loss import UNKNOWN
from training.run.config import Phase

OVERSAMPLING = 2
"""Examples are held at this multiple of the input size, so that turning them costs no sharpness."""

_TURN, _SCALE, _SHIFT = 15.0, (0.85, 1.35), 0.08
_GAMMA, _EXPOSURE, _CONTRAST, _INVERTED = (0.75, 1.3), (0.8, 1.2), (0.6, 1.6), 0.1
_NOISY, _NOISE = 0.5, 10.0
_AIMED, _OFF_CENTRE, _TISSUE_CELLS = 0.75, 0.35, 16
_ANY_ANGLE_SCALE = (0.75, 1.2)
"""A long X-ray that is turned by any angle has to stay inside of the square."""
_WORN, _BLUR, _SHARPENED, _CAST, _QUALITY, _PATCHES, _PATCH = 0.3, (0.3, 1.2), 1.5, 0.35, (35, 90), 3, 0.15


def augment(example: Example, phase: Phase, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw one variation: float32 (input_size, input_size, 1) and its cells (input_size / 16, ..., 1).

    Flipped left to right half of the time: a right hand becomes a left one. A cell is 1 where it touches a
    fracture. A window of the phase lies where there is tissue, and mostly on the fracture if there is one.
    """
    size = phase.input_size
    variation = _draw_variation(example, random, phase)
    side = round(example.square.shape[0] * phase.window)
    exposed = Image.fromarray(_expose(example, variation.grays))
    picture = _warp(exposed, side, variation.matrix, Image.Resampling.BILINEAR)
    square = _wear(picture.resize((size, size), Image.Resampling.HAMMING), variation)
    if variation.noise:
        grain = random.normal(0, variation.noise, square.shape)
        square = np.round(np.clip(square + grain, 0, 255)).astype(np.uint8)
    if variation.quality:
        square = _as_jpeg(square, variation.quality)
    if not example.located:
        return scale_pixels(square), _unknown_cells(size)
    if not example.boxes:
        return scale_pixels(square), np.zeros_like(_unknown_cells(size))
    mask = _warp(draw_fractures(example), side, variation.matrix, Image.Resampling.NEAREST)
    return scale_pixels(square), cells(np.asarray(mask), size)


@dataclass(frozen=True, eq=False)
class _Variation:
    """The numbers of one variation, which Pillow applies.

    `matrix` takes a pixel of the window to its source in the example's square. `grays` is uint8 (256,), the
    new gray for each gray inside the margins. `noise` is its deviation in grays. `blur` is a deviation in
    pixels of the input; below 0 it sharpens. `cast` is the change of light from left to right and from top to
    bottom. `patches` are x, y, w, h in shares of the side, and the gray that hides this part, as markers and
    letters do. `quality` is that of a JPEG in between, 0 for none.
    """

    matrix: tuple[float, ...]
    grays: np.ndarray
    noise: float
    blur: float = 0.0
    cast: tuple[float, float] = (0.0, 0.0)
    patches: tuple[tuple[float, float, float, float, int], ...] = ()
    quality: int = 0


def _draw_variation(example: Example, random: np.random.Generator, phase: Phase) -> _Variation:
    """Draw one variation of an example, within the limits of the phase."""
    window, tones = phase.window, phase.tones
    side = example.square.shape[0]
    shown = round(side * window)
    middle = np.full(2, side / 2) + random.uniform(-_SHIFT, _SHIFT, 2) * side
    if window < 1:
        aimed = example.boxes and random.random() < _AIMED
        middle = (_on_fracture if aimed else _on_tissue)(example, random)
        middle += random.uniform(-_OFF_CENTRE, _OFF_CENTRE, 2) * shown
    return _Variation(
        matrix=_draw_affine(shown, middle, random, phase.any_angle),
        grays=_draw_grays(random, tones),
        noise=tones * random.uniform(0, _NOISE) if tones and random.random() < _NOISY else 0.0,
        **(_draw_wear(random, phase.wear) if phase.wear else {}),
    )


def _draw_wear(random: np.random.Generator, wear: float) -> dict[str, Any]:
    """Draw each kind of wear for three in ten of the examples, so that most have one or two kinds."""

    def worn() -> bool:
        return bool(random.random() < _WORN)

    blur = float(random.choice([random.uniform(*_BLUR), -random.uniform(0, _SHARPENED)]))
    cast = random.uniform(-_CAST, _CAST, 2).tolist()
    quality = random.integers(*_QUALITY)
    corners, sides = random.uniform(0, 1, (_PATCHES, 2)), random.uniform(0.02, _PATCH, (_PATCHES, 2))
    inks = random.choice([0, 255, int(random.integers(256))], _PATCHES)
    count = random.integers(1, _PATCHES + 1)
    return {
        "blur": wear * blur if worn() else 0.0,
        "cast": (wear * cast[0], wear * cast[1]) if worn() else (0.0, 0.0),
        "patches": tuple(
            (*corner, *side, int(ink))
            for corner, side, ink in zip(corners[:count], wear * sides, inks, strict=False)
        )
        if worn()
        else (),
        "quality": int(quality) if worn() else 0,
    }


def _wear(picture: Image.Image, variation: _Variation) -> np.ndarray:
    """Apply blur, patches and cast to a square: uint8 of its size."""
    if variation.blur > 0:
        picture = picture.filter(ImageFilter.GaussianBlur(variation.blur))
    elif variation.blur < 0:
        picture = picture.filter(ImageFilter.UnsharpMask(1.5, round(-100 * variation.blur), 2))
    side = picture.width
    if variation.patches:
        picture = picture.copy()
        for x, y, w, h, ink in variation.patches:
            left, top, right, bottom = (round(side * edge) for edge in (x, y, x + w, y + h))
            picture.paste(ink, (left, top, right, bottom))
    square = np.asarray(picture)
    if any(variation.cast):
        ramp = np.linspace(-1, 1, side, dtype=np.float32)
        light = 1 + variation.cast[0] * ramp[None, :] + variation.cast[1] * ramp[:, None]
        square = np.clip(square * light, 0, 255).astype(np.uint8)
    return square


def _as_jpeg(square: np.ndarray, quality: int) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(square).save(stored, "JPEG", quality=quality)
    return np.asarray(Image.open(stored))


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


def _unknown_cells(input_size: int) -> np.ndarray:
    """Make the cells of an X-ray whose fractures are not marked: UNKNOWN, float32 as of `cells`."""
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
    if example.place is None:
        return grays[example.square]
    exposed = example.square.copy()
    example.place.crop(exposed)[:] = grays[example.place.crop(example.square)]
    return exposed


def _draw_affine(
    shown: int, middle: np.ndarray, random: np.random.Generator, any_angle: float
) -> tuple[float, ...]:
    """Draw coefficients that take a pixel of `shown` x `shown` around `middle` to its source, for Pillow."""
    turned, quarters = random.random() < any_angle, random.integers(4)
    degrees = random.uniform(-_TURN, _TURN)
    if turned:
        # Half of them by quarters, as phones and scanners do, within a hand's accuracy.
        degrees = degrees + 90 * quarters if random.random() < 0.5 else random.uniform(-180, 180)
    turn = np.deg2rad(degrees)
    scale = np.exp(random.uniform(*np.log(_ANY_ANGLE_SCALE if turned else _SCALE)))
    flip = random.choice([-1.0, 1.0])
    cos, sin = np.cos(turn) / scale, np.sin(turn) / scale
    linear = np.array([[cos * flip, -sin], [sin * flip, cos]])
    offset = middle - linear @ np.full(2, shown / 2)
    return (linear[0, 0], linear[0, 1], offset[0], linear[1, 0], linear[1, 1], offset[1])


def _warp(
    picture: Image.Image, side: int, matrix: tuple[float, ...], filter_: Image.Resampling
) -> Image.Image:
    return picture.transform((side, side), Image.Transform.AFFINE, matrix, resample=filter_)
