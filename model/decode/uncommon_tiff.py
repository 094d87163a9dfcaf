"""Reads for `model.decode.raster` the TIFF files that Pillow has no mode for, by tifffile (BSD).

These have samples in other numbers, of other bits or in another byte order.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from model.errors import UnreadableFormat
from model.library_logs import silence_tifffile

_ORIENTATION = 274
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2


class Samples(NamedTuple):
    """Numbers (height, width) or colours (height, width, 3), whether they count from white, orientation."""

    values: np.ndarray
    white_is_zero: bool
    orientation: int


def read_uncommon_tiff(data: bytes, page: int, check_size: Callable[[int, int], None]) -> Samples:
    """Read one page; `check_size(width, height)` is called before a pixel is decoded.

    Raises UnreadableFormat for what is neither gray nor red, green and blue, and where no decoder for its
    compression is installed. Damaged files raise nearly anything.
    """
    # Late: few files need it.
    from tifffile import TiffFile

    silence_tifffile()

    with TiffFile(io.BytesIO(data)) as file:
        picture = file.pages[page].aspage()
        check_size(picture.imagewidth, picture.imagelength)
        kind = int(picture.photometric)
        if kind not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
            raise UnreadableFormat("This service does not read TIFF images in these colours. Save it as PNG.")
        try:
            samples = picture.asarray()
        except (ImportError, NotImplementedError, ValueError) as error:
            raise UnreadableFormat(
                "This service does not read TIFF images of this kind. Save it as PNG."
            ) from error
        if samples.ndim == 3 and samples.shape[:2] != (picture.imagelength, picture.imagewidth):
            # Each sample in a plane of its own.
            samples = np.moveaxis(samples, 0, -1)
        # What follows the colours, such as an alpha channel, is no picture.
        shown = 3 if kind == _RGB else 1
        values = samples if samples.ndim == 2 else samples[..., :shown]
        orientation = picture.tags.valueof(_ORIENTATION, 1)
        return Samples(values.squeeze(), kind == _WHITE_IS_ZERO, int(orientation))
