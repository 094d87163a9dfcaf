"""Changes X-rays as archives, scanners and phones do, for `training.evaluate`: pixels in, pixels out."""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter, ImageOps

Perturbation = Callable[[np.ndarray], np.ndarray]

_BORDER = 0.1


def _jpeg(pixels: np.ndarray) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=25)
    return np.asarray(Image.open(stored))


def _noise(pixels: np.ndarray) -> np.ndarray:
    return add_grain(pixels, 12, np.random.default_rng(pixels.size))


def _turn(degrees: float) -> Perturbation:
    return lambda pixels: np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR))


def _contrast(factor: float) -> Perturbation:
    return lambda pixels: np.clip((pixels - 127.5) * factor + 127.5, 0, 255).astype(np.uint8)


def _mask_border(pixels: np.ndarray) -> np.ndarray:
    """Blacken the outer tenth on each side, where markers, letters and edges of the plate are."""
    height, width = pixels.shape
    y, x = round(height * _BORDER), round(width * _BORDER)
    masked = np.zeros_like(pixels)
    masked[y : height - y, x : width - x] = pixels[y : height - y, x : width - x]
    return masked


def _turn_all(degrees: float) -> Perturbation:
    """Turn by any angle; the picture grows, so that nothing is cut off."""

    def turned(pixels: np.ndarray) -> np.ndarray:
        return np.asarray(Image.fromarray(pixels).rotate(degrees, Image.Resampling.BILINEAR, expand=True))

    return turned


def _quarter(pixels: np.ndarray) -> np.ndarray:
    """Turn by 0, 90, 180 or 270 degrees, chosen by the pixels, about as many each way."""
    return np.ascontiguousarray(np.rot90(pixels, int(pixels[::7, ::7].sum()) % 4))


def _wear_out(pixels: np.ndarray) -> np.ndarray:
    """Make a picture as of a poor archive: dim, a little blurred, noisy, askew, JPEG at quality 70."""
    random = np.random.default_rng(int(pixels[::7, ::7].sum()))
    picture = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(max(pixels.shape) / 900))
    picture = picture.rotate(random.uniform(-8, 8), Image.Resampling.BILINEAR)
    dim = np.asarray(picture, np.float32) * 0.55 + 15 + random.normal(0, 5, pixels.shape)
    stored = io.BytesIO()
    Image.fromarray(np.clip(dim, 0, 255).astype(np.uint8)).save(stored, "JPEG", quality=70)
    return np.asarray(Image.open(stored))


def _border(gray: int) -> Perturbation:
    def bordered(pixels: np.ndarray) -> np.ndarray:
        return np.pad(pixels, max(8, round(0.07 * max(pixels.shape))), constant_values=gray)

    return bordered


def _light_box(pixels: np.ndarray) -> np.ndarray:
    """Photograph a film on a light box: askew, a bright frame, light that falls off, a soft lens."""
    height, width = pixels.shape
    film = Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(max(pixels.shape) / 700))
    film = film.rotate(3, Image.Resampling.BILINEAR, expand=True, fillcolor=235)
    box = np.pad(np.asarray(film), max(8, round(0.09 * max(height, width))), constant_values=235)
    light = 1 - 0.25 * np.linspace(0, 1, box.shape[1], dtype=np.float32)
    return np.clip(box * light + 12, 0, 255).astype(np.uint8)


def _equalise(pixels: np.ndarray) -> np.ndarray:
    return np.asarray(ImageOps.equalize(Image.fromarray(pixels)))


def as_delivered(pixels: np.ndarray, number: int) -> np.ndarray:
    """Change an X-ray as archives, scanners and phones do, in one of nine ways after the other."""
    ways: tuple[Perturbation, ...] = (
        _wear_out,
        _quarter,
        lambda x: 255 - x,
        _border(255),
        _border(0),
        _light_box,
        _equalise,
        _turn_all(37.0 * number),
        _contrast(0.3),
    )
    return ways[number // 2 % len(ways)](pixels)


def reduce_to(pixels: np.ndarray, side: int) -> np.ndarray:
    """Reduce a picture to `side` pixels on its shorter side; a smaller one stays as it is."""
    height, width = pixels.shape
    factor = side / min(height, width)
    if factor >= 1:
        return pixels
    small = Image.fromarray(pixels).resize(
        (round(width * factor), round(height * factor)), Image.Resampling.BOX
    )
    return np.asarray(small)


def add_grain(pixels: np.ndarray, deviation: float, random: np.random.Generator) -> np.ndarray:
    """Add noise of a deviation in gray levels, as sensors do in little light."""
    return np.clip(pixels + random.normal(0, deviation, pixels.shape), 0, 255).astype(np.uint8)


PERTURBATIONS: dict[str, Perturbation] = {
    "JPEG at quality 25": _jpeg,
    "noise, deviation 12 of 255": _noise,
    "turned 10 degrees": _turn(10),
    "contrast x 0.6": _contrast(0.6),
    "contrast x 1.5": _contrast(1.5),
    "turned by quarters": _quarter,
    "dim, blurred, noisy, askew, JPEG": _wear_out,
    "inverted": lambda pixels: 255 - pixels,
    "border masked": _mask_border,
}
