"""Draws a synthetic radiograph of a forearm, for tests, and for the demo where it is asked for.

`python -m model.synthetic FILE.png [SEED]` writes one.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

_SOFT, _CORTEX, _MARROW = 0.0070, 0.057, 0.010
"""Attenuation per pixel of thickness, at a picture 540 pixels wide."""


@dataclass(frozen=True, eq=False)
class Drawing:
    """`pixels` is uint8 (height, width), bone white; `fracture` the box x, y, w, h of the break, if any."""

    pixels: np.ndarray
    fracture: tuple[int, int, int, int] | None


def draw_forearm(seed: int, fracture: bool = True, size: tuple[int, int] = (720, 540)) -> Drawing:
    """Draw a forearm from the front, wrist up, of `size` (height, width); a seed is always the same picture.

    The ray's path through soft tissue, cortical bone and marrow is added up and attenuated by Beer-Lambert;
    scatter, grain, the collimator's edge and a marker come on top. `fracture` breaks the distal radius.
    """
    random = np.random.default_rng(seed)
    height, width = size
    # Everything is placed in a frame 540 wide and 720 high, then sampled at the size asked for.
    y, x = np.meshgrid(np.linspace(0, 720, height), np.linspace(0, 540, width), indexing="ij")
    turn = np.deg2rad(random.uniform(-4, 4))
    x, y = (
        270 + np.cos(turn) * (x - 270) - np.sin(turn) * (y - 360),
        360 + np.sin(turn) * (x - 270) + np.cos(turn) * (y - 360),
    )
    if random.random() < 0.5:
        x = 540 - x
    break_y, slope = random.uniform(285, 330), random.choice([-1, 1]) * random.uniform(0.12, 0.42)
    path = _soft_tissue(x, y) + _bones(x, y, random, (break_y, slope) if fracture else None)
    shine = np.exp(-path)
    scatter, blurred = _blur(shine, 25, 25), _blur(shine, 0.8, 0.8)
    dose = random.normal(0.86 * blurred + 0.14 * scatter, 0.011 * np.sqrt(blurred + 0.05))
    density = -np.log(np.clip(dose, 0.02, 1.2))
    gray = np.clip((density + 0.03) / 2.0, 0, 1) ** 0.85
    box = _box(x, y, break_y) if fracture else None
    return Drawing(_finish(gray, random), box)


def _soft_tissue(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Add up the path through a sleeve that widens from the wrist to the elbow, with muscle in it."""
    half = 97 + 58 / (1 + np.exp(-(y - 440) / 85)) + 16 * np.exp(-(((y - 60) / 90) ** 2))
    middle = 254 + 18 / (1 + np.exp(-(y - 220) / 60)) + 4 * np.sin(y / 160)
    inside = np.clip(1 - ((x - middle) / half) ** 2, 0, None)
    skin = np.clip(1 - np.abs(np.abs(x - middle) - half + 3) / 3, 0, 1) * 5
    muscle = 1 + 0.05 * np.sin((x - middle) / 21 + y / 210) * np.clip((y - 250) / 250, 0, 1)
    return _SOFT * (1.02 * half * np.sqrt(inside) * muscle + skin)


def _bones(
    x: np.ndarray, y: np.ndarray, random: np.random.Generator, broken: tuple[float, float] | None
) -> np.ndarray:
    grain = _trabeculae(x.shape, random)
    radius_x, gap = x, np.zeros_like(x)
    if broken is not None:
        line, slope = broken
        # The far fragment slips sideways and tilts; the line between them is thin, jagged and dark.
        jagged = line + slope * (x - 225) + np.cumsum(random.normal(0, 0.7, x.shape[1]))[None, :]
        distal = np.clip((jagged - y) / 2 + 0.5, 0, 1)
        radius_x = x + distal * (9 + 0.05 * (line - y))
        gap = np.exp(-(((y - jagged) / 3.4) ** 2))
    radius = _shaft(radius_x, y, centre=225 + 10 * np.sin(y / 230), thin=23, end=46, end_y=165, grain=grain)
    ulna = _shaft(x, y, centre=322 - 7 * np.sin(y / 200), thin=19, end=25, end_y=190, grain=grain)
    total = radius * (1 - 0.82 * gap) + ulna
    for cx, cy, a, b in _CARPALS:
        nudge = random.normal(0, 2, 2)
        total = total + _blob(x - cx - nudge[0], y - cy - nudge[1], a, b, grain)
    for cx in (188, 229, 272, 314):
        lean = (cx - 251) * 0.10
        total = total + _shaft(
            x - lean * (20 - y) / 20, -y, np.full_like(x, cx), thin=13, end=19, end_y=-54, grain=grain
        )
    return total


_CARPALS = (
    (203, 128, 29, 22), (249, 134, 25, 20), (292, 132, 22, 20), (312, 122, 13, 14),
    (193, 88, 21, 18), (224, 84, 18, 19), (259, 88, 22, 29), (302, 88, 23, 23),
)  # fmt: skip
"""Centre and half axes of the eight small bones of the wrist."""


def _shaft(
    x: np.ndarray, y: np.ndarray, centre: np.ndarray, thin: float, end: float, end_y: float, grain: np.ndarray
) -> np.ndarray:
    """Add up the path through a tube of cortex around marrow, which flares towards y = end_y."""
    path = np.zeros(x.shape)
    near = (np.abs(x - centre) < max(thin, end)) & (y - end_y > -12)
    x, centre, along, grain = x[near], centre[near], (y - end_y)[near], grain[near]
    flare = np.exp(-np.clip(along, 0, None) / 62)
    half = thin + (end - thin) * flare
    half = half * np.sqrt(np.clip(1 - (np.clip(-along + 10, 0, None) / 22) ** 2, 0, None))
    wall = np.clip(0.31 * thin * (1 - 0.84 * flare), 2.0, None)
    away = np.abs(x - centre)
    outer = np.sqrt(np.clip(half**2 - away**2, 0, None))
    inner = np.sqrt(np.clip((half - wall) ** 2 - away**2, 0, None)) * (half > wall)
    # A flat end is no deeper than the shaft, however wide it flares.
    depth = np.minimum(1.0, 1.35 * thin / np.maximum(half, 1))
    sponge = _MARROW * (1 + 1.3 * flare) * (1 + 0.22 * flare * grain)
    plate = 0.16 * np.exp(-(((along + 6) / 3) ** 2)) * (outer > 0)
    path[near] = depth * (_CORTEX * (outer - inner) + sponge * inner) + plate
    return path


def _blob(x: np.ndarray, y: np.ndarray, a: float, b: float, grain: np.ndarray) -> np.ndarray:
    """Add up the path through a rounded bone with a thin shell."""
    path = np.zeros(x.shape)
    near = (x / a) ** 2 + (y / b) ** 2 < 1.11**2
    x, y, grain = x[near], y[near], grain[near]
    angle = np.arctan2(y / b, x / a)
    wobble = 1 + 0.06 * np.cos(3 * angle + a) + 0.04 * np.cos(5 * angle + b)
    far = np.hypot(x / a, y / b) / wobble
    outer = np.sqrt(np.clip(1 - far**2, 0, None))
    inner = np.sqrt(np.clip(0.86**2 - far**2, 0, None))
    depth = min(a, b)
    path[near] = depth * (0.62 * _CORTEX * (outer - inner) + 2.7 * _MARROW * (1 + 0.22 * grain) * inner)
    return path


def _trabeculae(shape: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Draw band-passed noise of unit deviation, stretched along the limb as the spongy lattice is."""
    noise = random.normal(0, 1, shape)
    band = _blur(noise, 0.8, 2.0) - _blur(noise, 2, 4)
    return band / band.std()


def _blur(picture: np.ndarray, across: float, along: float) -> np.ndarray:
    """Convolve with a Gaussian of these deviations in pixels; Pillow's own filter does not take floats."""
    height, width = picture.shape
    margin = int(3 * max(across, along)) + 1
    padded = np.pad(picture, margin, mode="edge")
    rows, columns = np.fft.fftfreq(padded.shape[0])[:, None], np.fft.rfftfreq(padded.shape[1])[None, :]
    transfer = np.exp(-2 * np.pi**2 * ((along * rows) ** 2 + (across * columns) ** 2))
    blurred = np.fft.irfft2(np.fft.rfft2(padded) * transfer, padded.shape)
    return blurred[margin : margin + height, margin : margin + width]


def _box(x: np.ndarray, y: np.ndarray, break_y: float) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero((np.abs(y - break_y) < 24) & (np.abs(x - 225) < 44))
    left, top = int(columns.min()), int(rows.min())
    return left, top, int(columns.max()) - left + 1, int(rows.max()) - top + 1


def _finish(gray: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Close the collimator around the picture and burn the marker in."""
    height, width = gray.shape
    blades = Image.new("L", (width, height))
    edge = [round(width * random.uniform(0.025, 0.05)) for _ in range(4)]
    ImageDraw.Draw(blades).rectangle((edge[0], edge[1], width - edge[2], height - edge[3]), fill=255)
    field = np.asarray(blades.filter(ImageFilter.GaussianBlur(1.5)), np.float64) / 255
    pixels = Image.fromarray(np.round(gray * 255 * field + 4 * (1 - field)).astype(np.uint8))
    pen = ImageDraw.Draw(pixels)
    font = ImageFont.load_default(max(10, round(height / 55)))
    pen.text((edge[0] + width // 40, edge[1] + width // 50), "SYNTHETIC", fill=215, font=font)
    return np.asarray(pixels)


def main() -> None:
    """Run `python -m model.synthetic FILE.png [SEED]`."""
    if len(sys.argv) not in (2, 3):
        raise SystemExit("usage: python -m model.synthetic FILE.png [SEED]")
    drawing = draw_forearm(int(sys.argv[2]) if len(sys.argv) == 3 else 7)
    Image.fromarray(drawing.pixels).save(Path(sys.argv[1]), "PNG")


if __name__ == "__main__":
    main()
