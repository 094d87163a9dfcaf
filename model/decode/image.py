"""Decodes submitted bytes to gray pixels: the first half of the one pixel path.

Training, evaluation and serving all decode here. No TensorFlow.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from model.decode import dicom, raster
from model.decode.acquisition import Acquisition
from model.decode.pixel_values import PixelValues
from model.decode.radiograph import Radiograph
from model.errors import (
    BrokenImage,
    ImageError,
    NotARadiograph,
    TooManyPixels,
    UnreadableFormat,
)

__all__ = [
    "BrokenImage",
    "FileFacts",
    "ImageError",
    "Limits",
    "NotARadiograph",
    "Radiograph",
    "TooManyPixels",
    "UnreadableFormat",
    "decode",
    "decode_values",
    "describe",
]

_SMALLEST_SIDE = 32


@dataclass(frozen=True)
class Limits:
    """How large a picture may be; checked from its header, before a pixel is decoded."""

    max_pixels: int = 50_000_000

    def check(self, width: int, height: int) -> None:
        """Raise TooManyPixels or BrokenImage for a size that we do not decode."""
        if width * height > self.max_pixels:
            raise TooManyPixels(
                f"The image is {width} x {height} pixels; at most {self.max_pixels:,} pixels are read. "
                "Scale it down and send it again."
            )
        if min(width, height) < _SMALLEST_SIDE:
            raise BrokenImage(
                f"The image is {width} x {height} pixels; an X-ray has {_SMALLEST_SIDE} or more a side. "
                "Send the full image, not a thumbnail."
            )


_DEFAULT_LIMITS = Limits()


def decode(data: bytes, limits: Limits = _DEFAULT_LIMITS, sha256: str | None = None) -> Radiograph:
    """Decode PNG, JPEG, TIFF, BMP, WebP or DICOM, by content; `sha256` is the digest where it is known.

    Raises UnreadableFormat, TooManyPixels or BrokenImage, and nothing else but MemoryError. It may take up to
    20 bytes of memory a pixel for a moment, loop or crash: a server asks
    model.decode_processes.pool.Decoders.
    """
    name = _format_of(data)
    acquisition, left_out = Acquisition(), tuple[str, ...]()
    if name == "DICOM":
        pixels, chroma, acquisition, left_out = dicom.read(data, limits.check)
    else:
        pixels, chroma = raster.read(data, name, limits.check)
    digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    return Radiograph(pixels, name, chroma, digest, acquisition, left_out)


class FileFacts(NamedTuple):
    """What is known of a file that decodes; each field is as Radiograph has it."""

    format: str
    width: int
    height: int
    acquisition: Acquisition


def describe(data: bytes, limits: Limits = _DEFAULT_LIMITS) -> FileFacts:
    """Read all of a file as `decode` does, and return what is known of it. Raises as `decode` does.

    Of most files fewer pixels are computed.
    """
    name = _format_of(data)
    if name == "DICOM":
        return FileFacts(name, *dicom.read_facts(data, limits.check))
    return FileFacts(name, *raster.read_size(data, name, limits.check), Acquisition())


def decode_values(data: bytes, limits: Limits = _DEFAULT_LIMITS, least: int | None = None) -> PixelValues:
    """Decode the same files to their values of up to 16 bits, before any window. Raises as `decode` does.

    With `least` a JPEG may be decoded smaller, with a longer side of `least` or more.
    """
    name = _format_of(data)
    if name == "DICOM":
        return dicom.read_values(data, limits.check)
    return raster.read_values(data, name, limits.check, least)


def _format_of(data: bytes) -> str:
    name = "DICOM" if dicom.is_dicom(data) else raster.format_of(data)
    if name is None:
        raise UnreadableFormat(
            "These bytes are not an image that we read. Send PNG, JPEG, TIFF, BMP, WebP or DICOM; "
            "the content counts, not the file's name."
            if data
            else "The image is empty. Send the bytes of a PNG, JPEG, TIFF, BMP, WebP or DICOM file."
        )
    return name
