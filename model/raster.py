"""Decodes the ordinary picture formats for `model.image`: Pillow, held to five formats and to one frame."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from model.errors import BrokenImage, ImageError, TooManyPixels
from model.headers.bmp import check_bmp
from model.headers.directory import check_pages, read_directory
from model.headers.jpeg import check_jpeg
from model.headers.png import check_png

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (8, b"WEBP", "WEBP"),
)
_CHECK = {"PNG": check_png, "JPEG": check_jpeg, "TIFF": check_pages, "BMP": check_bmp}
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L")
_PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO = 262, 0
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture of each EXIF orientation."""


def format_of(data: bytes) -> str | None:
    """Name the format that the first bytes declare, or None."""
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            return name
    # "BM" alone also begins many a text.
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return None


def read(data: bytes, name: str, check_size: Callable[[int, int], None]) -> tuple[np.ndarray, float]:
    """Decode one picture of format `name` to uint8 (height, width) and its chroma in 0..1.

    What the file's own headers declare is checked first, `check_size(width, height)` before a pixel is
    decoded; both raise what does not fit. Every error
    of Pillow's becomes a BrokenImage or TooManyPixels here: its plugins raise OSError, SyntaxError,
    struct.error, EOFError, KeyError and more on damaged files, and all of them mean the same to the sender.
    """
    try:
        _CHECK.get(name, len)(data)
        with Image.open(io.BytesIO(data), formats=(name,)) as picture:
            check_size(*picture.size)
            _refuse_frames(picture, name)
            inverted = _is_deep_white_is_zero(picture)
            picture.load()
            gray, chroma = _to_gray(_upright(picture))
            return (255 - gray if inverted else gray), chroma
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels("The image has far too many pixels. Scale it down and send it again.") from error
    except Exception as error:
        raise BrokenImage(
            f"The {name} image does not decode; it may have been cut off on its way. "
            "Check that a viewer opens it, and send it again."
        ) from error


def _refuse_frames(picture: Image.Image, name: str) -> None:
    # A phone's JPEG may carry a depth map or a preview behind the picture; viewers show the first, so do we.
    if name == "JPEG":
        return
    # Not n_frames: it walks a TIFF to its end, however many pages a hostile one has.
    try:
        picture.seek(1)
    except EOFError:
        return
    raise BrokenImage(
        f"The {name} file holds several pictures (pages or animation frames). Send each X-ray as its own job."
    )


def _upright(picture: Image.Image) -> Image.Image:
    """The picture as a viewer shows it. Not by ImageOps: that writes all of the EXIF data anew."""
    described = picture.info.get("exif")
    if described is None:
        # As ImageMagick writes it into a PNG: hexadecimal, under three lines of its own.
        lines = picture.info.get("Raw profile type exif", "").split("\n")[3:]
        described = bytes.fromhex("".join(lines))
    read_directory(described.removeprefix(b"Exif\0\0"))
    turn = _UPRIGHT.get(picture.getexif().get(_ORIENTATION, 1))
    return picture if turn is None else picture.transpose(turn)


def _is_deep_white_is_zero(picture: Image.Image) -> bool:
    """Whether a TIFF of 16 bits counts from white; Pillow turns only those of 8 bits and fewer."""
    tags = getattr(picture, "tag_v2", {})
    return picture.mode in _DEEP_MODES and tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO


def _to_gray(picture: Image.Image) -> tuple[np.ndarray, float]:
    if picture.mode in _DEEP_MODES:
        return _from_bits(np.asarray(picture)), 0.0
    if picture.mode == "L":
        return np.array(picture), 0.0
    if picture.mode == "1":
        return np.array(picture.convert("L")), 0.0
    if picture.has_transparency_data:
        # What is transparent was never exposed: it lies on black, like air.
        picture = picture.convert("RGBA")
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture)
    colours = picture.convert("RGB")
    return np.array(colours.convert("L")), chroma_of(np.asarray(colours))


def _from_bits(values: np.ndarray) -> np.ndarray:
    """Scale deep grays to uint8 by their bits, so that the same grays in 8, 12 or 16 bits are one picture.

    What fills under a quarter of its bits' range is stretched, and so are floats and negative numbers.
    """
    darkest, brightest = values.min(), values.max()
    if np.issubdtype(values.dtype, np.integer) and darkest >= 0:
        full = 2 ** max(8, int(brightest).bit_length()) - 1
        if int(brightest) - int(darkest) >= full / 4:
            return np.round(values * np.float32(255.0 / full)).astype(np.uint8)
    return stretch(values)


def stretch(values: np.ndarray) -> np.ndarray:
    """Scale any numbers linearly from the min..max found to uint8 0..255; no contrast at all gives zeros."""
    if np.issubdtype(values.dtype, np.integer) and int(values.max()) - int(values.min()) < 2**16:
        # The same numbers by a table: floats would take eight bytes more a pixel.
        darkest, span = int(values.min()), int(values.max()) - int(values.min())
        levels = np.arange(span + 1, dtype=np.float32) * np.float32(255.0 / max(span, 1))
        return np.round(levels).astype(np.uint8)[np.subtract(values, darkest, dtype=np.int32)]
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    return np.round((values - low) * (255.0 / (high - low))).astype(np.uint8)


def chroma_of(colours: np.ndarray) -> float:
    """Mean of (max - min) over the pixels of uint8 (height, width, 3), in 0..1."""
    red, green, blue = colours[..., 0], colours[..., 1], colours[..., 2]
    brightest = np.maximum(np.maximum(red, green), blue)
    darkest = np.minimum(np.minimum(red, green), blue)
    return float((brightest - darkest).mean() / 255.0)
