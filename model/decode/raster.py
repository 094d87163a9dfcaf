"""Decodes PNG, JPEG, TIFF, BMP and WebP for `image`: Pillow, held to these formats and to one frame."""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from model.decode.headers.bmp import check_bmp
from model.decode.headers.jpeg import check_jpeg
from model.decode.headers.png import check_png, drop_notes
from model.decode.headers.tiff import find_page, read_directory
from model.decode.pixel_values import PixelValues, values_of_grays
from model.decode.png_pixels import are_complete
from model.decode.scaling import chroma_of, from_bits, stretch
from model.decode.uncommon_tiff import read_uncommon_tiff
from model.errors import BrokenImage, ImageError, TooManyPixels

_MAGIC = (
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"II*\x00", "TIFF"),
    (0, b"MM\x00*", "TIFF"),
    (0, b"II+\x00", "TIFF"),
    (0, b"MM\x00+", "TIFF"),
    (8, b"WEBP", "WEBP"),
)
_CHECK: dict[str, Callable[[bytes], object]] = {"PNG": check_png, "JPEG": check_jpeg, "BMP": check_bmp}
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
_DEEP_MODES = ("I", "F", "I;16", "I;16B", "I;16L")
_BITS, _PHOTOMETRIC_INTERPRETATION, _SAMPLE_FORMAT = 258, 262, 339
_WHITE_IS_ZERO, _UNSIGNED = 0, 1
_FROM_LIBTIFF = {
    **dict.fromkeys(("I;16S", "I;16BS"), "I;16NS"),
    **dict.fromkeys(("I;32S", "I;32BS"), "I;32NS"),
    **dict.fromkeys(("F;32F", "F;32BF"), "F;32NF"),
}
"""By Pillow's names of samples in the file's order those in the machine's, in which libtiff gives them."""
_FROM_FILE = {"I;32N": "I;32"}
"""Pillow has no mode for the big-endian ones, and takes the little-endian ones for the machine's."""
_EXIF, _ORIENTATION = b"Exif\0\0", 0x0112
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
_SIDES_EXCHANGED = range(5, 9)
_FLIPS = {2: (1, -1), 3: (-1, -1), 4: (-1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
"""The same in steps through rows and columns; 5 to 8 exchange both before."""


def format_of(data: bytes) -> str | None:
    """Name the format that the first bytes declare, or None."""
    for offset, magic, name in _MAGIC:
        if data.startswith(magic, offset):
            return name
    # "BM" alone also begins many a text.
    if data.startswith(b"BM") and int.from_bytes(data[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    return None


class _Grays(NamedTuple):
    """A decoded file (height, width) and its chroma in 0..1: uint8, or numbers of any type if it is `deep`.

    Deep numbers may count from white.
    """

    values: np.ndarray
    chroma: float = 0.0
    deep: bool = False
    white_is_zero: bool = False


def read(data: bytes, name: str, check_size: Callable[[int, int], None]) -> tuple[np.ndarray, float]:
    """Decode one picture of format `name` to uint8 (height, width) and its chroma in 0..1.

    The headers of the file are checked first, and `check_size(width, height)` is called before a pixel is
    decoded; both raise an ImageError. Every error of Pillow becomes BrokenImage or TooManyPixels: its plugins
    raise OSError, SyntaxError, struct.error, EOFError, KeyError and more on damaged files.
    """
    with _translated(name):
        grays = _read(data, name, check_size)
        if not grays.deep:
            return grays.values, grays.chroma
        gray = from_bits(grays.values)
        return (255 - gray if grays.white_is_zero else gray), grays.chroma


def read_size(data: bytes, name: str, check_size: Callable[[int, int], None]) -> tuple[int, int]:
    """Decode one picture as `read` does, and return its upright width and height.

    A JPEG is decoded at an eighth of its size: all of its bytes are read, and fewer pixels are computed. The
    pixels of most PNG files are inflated, and not computed.
    """
    with _translated(name):
        if name == "JPEG":
            return _size_of_jpeg(data, check_size)
        if name == "PNG" and (size := _size_of_complete_png(data, check_size)):
            return size
    height, width = read(data, name, check_size)[0].shape
    return width, height


def _size_of_jpeg(data: bytes, check_size: Callable[[int, int], None]) -> tuple[int, int]:
    check_jpeg(data)
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
        width, height = picture.size
        check_size(width, height)
        picture.draft(None, (1, 1))
        picture.load()
        return (height, width) if _orientation_of(picture) in _SIDES_EXCHANGED else (width, height)


def _size_of_complete_png(data: bytes, check_size: Callable[[int, int], None]) -> tuple[int, int] | None:
    """Return the size of a PNG file that certainly decodes. It has no EXIF data, which may turn a picture."""
    check_png(data)
    data = drop_notes(data)
    with Image.open(io.BytesIO(data), formats=("PNG",)) as picture:
        check_size(*picture.size)
        return picture.size if are_complete(data) else None


def read_values(
    data: bytes, name: str, check_size: Callable[[int, int], None], least: int | None = None
) -> PixelValues:
    """Decode as `read` does, to values of up to 16 bits; colours to gray.

    A JPEG may come smaller, with a longer side of `least` or more.
    """
    with _translated(name):
        grays = _read(data, name, check_size, least)
        return values_of_grays(grays.values, 16 if grays.deep else 8, grays.white_is_zero)


@contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (ImageError, MemoryError):
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixels("The image has far too many pixels. Scale it down and send it again.") from error
    except Exception as error:
        raise BrokenImage(
            f"The {name} image does not decode; it may have been cut off on its way. "
            "Check that a viewer opens it, and send it again."
        ) from error


def _read(data: bytes, name: str, check_size: Callable[[int, int], None], least: int | None = None) -> _Grays:
    if name == "TIFF":
        return _read_tiff(data, check_size)
    _CHECK.get(name, len)(data)
    file = io.BytesIO(drop_notes(data) if name == "PNG" else data)
    with Image.open(file, formats=(name,)) as picture:
        check_size(*picture.size)
        _refuse_frames(picture, name)
        if least is not None:
            # libjpeg decodes half, a quarter or an eighth.
            share = least / max(picture.size)
            picture.draft(None, (round(picture.width * share), round(picture.height * share)))
        picture.load()
        return _to_gray(_upright(picture))


def _read_tiff(data: bytes, check_size: Callable[[int, int], None]) -> _Grays:
    page = find_page(data)
    try:
        read = _read_common_tiff(data, page, check_size)
    except SyntaxError:
        read = None  # Pillow has no mode for its samples.
    if read is not None:
        return read
    values, white_is_zero, orientation = read_uncommon_tiff(data, page, check_size)
    if values.ndim == 3:
        return _to_gray(_turned(Image.fromarray(stretch(values)), orientation))
    return _Grays(_turned_numbers(values, orientation), deep=True, white_is_zero=white_is_zero)


def _read_common_tiff(data: bytes, page: int, check_size: Callable[[int, int], None]) -> _Grays | None:
    """Read a page by Pillow; None for what Pillow misreads."""
    with TiffImageFile(io.BytesIO(data)) as picture:
        picture.seek(page)
        check_size(*picture.size)
        tags = picture.tag_v2
        bits, kinds = tags.get(_BITS, (1,)), tags.get(_SAMPLE_FORMAT, (_UNSIGNED,))
        if (max(bits) > 8 and len(bits) > 1) or (max(bits) <= 8 and set(kinds) != {_UNSIGNED}):
            return None
        _name_byte_order(picture)
        picture.load()
        grays = _to_gray(_upright(picture))
    if not grays.deep:
        return grays
    # Pillow takes the highest of 32 bits for a sign, and turns only 8 bits and fewer that count from white.
    unsigned = bits == (32,) and kinds == (_UNSIGNED,)
    return grays._replace(
        values=grays.values.view(np.uint32) if unsigned else grays.values,
        white_is_zero=tags.get(_PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO,
    )


def _name_byte_order(picture: TiffImageFile) -> None:
    """Name the byte order in which Pillow's decoder really gives the samples."""
    for number, tile in enumerate(picture.tile):
        assert isinstance(tile.args, tuple)  # of both decoders
        rawmode, *rest = tile.args
        names = _FROM_LIBTIFF if tile.codec_name == "libtiff" else _FROM_FILE
        picture.tile[number] = tile._replace(args=(names.get(rawmode, rawmode), *rest))


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
    """Turn the picture as a viewer shows it. ImageOps would write all of the EXIF data anew."""
    return _turned(picture, _orientation_of(picture))


def _orientation_of(picture: Image.Image) -> int:
    """Read the EXIF orientation; damaged EXIF data say nothing, and the picture is read without them."""
    described = picture.info.get("exif")
    try:
        if described is None:
            # As ImageMagick writes it into a PNG: hexadecimal, under three lines of its own.
            lines = picture.info.get("Raw profile type exif", "").split("\n")[3:]
            described = bytes.fromhex("".join(lines))
        # Pillow takes its name away once or twice.
        read_directory(described.removeprefix(_EXIF).removeprefix(_EXIF))
        orientation: int = picture.getexif().get(_ORIENTATION, 1)
    except ImageError:
        raise
    except (SyntaxError, ValueError, KeyError, struct.error):
        return 1
    return orientation


def _turned(picture: Image.Image, orientation: int) -> Image.Image:
    turn = _UPRIGHT.get(orientation)
    return picture if turn is None else picture.transpose(turn)


def _turned_numbers(values: np.ndarray, orientation: int) -> np.ndarray:
    """Turn numbers of any type as `_turned` turns a picture."""
    down, along = _FLIPS.get(orientation, (1, 1))
    return (values.T if orientation in _SIDES_EXCHANGED else values)[::down, ::along]


def _to_gray(picture: Image.Image) -> _Grays:
    if picture.mode in _DEEP_MODES:
        return _Grays(np.asarray(picture), deep=True)
    if picture.mode == "L":
        return _Grays(np.array(picture))
    if picture.mode == "1":
        return _Grays(np.array(picture.convert("L")))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    if picture.mode == "RGBA" and picture.getchannel("A").getextrema() != (0, 0):
        # What is transparent was never exposed: it lies on black, like air. Some writers leave alpha empty.
        black = Image.new("RGBA", picture.size, (0, 0, 0, 255))
        picture = Image.alpha_composite(black, picture)
    colours = picture.convert("RGB")
    return _Grays(np.array(colours.convert("L")), chroma_of(np.asarray(colours)))
