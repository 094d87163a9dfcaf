"""Finds AprilTags in photographs and radiographs. The detector is compiled code, and is loaded here alone."""

import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from model.decode.headers.jpeg import check_jpeg
from model.decode.raster import format_of
from model.errors import BrokenImage, ImageError, UnreadableFormat

if TYPE_CHECKING:
    from pyapriltags import Detection, Detector

_FAMILY = "tag36h11"
_FINE_PIXELS = 3_000_000
"""Squares are looked for in every pixel of a picture up to this size, and in every fourth of a larger one."""
_SMALLEST_SIDE = 32
_MOST_OF_EACH = 2
_CLOCKWISE = (3, 2, 1, 0)
"""The detector's corners from the upper left one, clockwise: its first is the lower left."""

Tag = tuple[int, list[list[float]]]


def find_april_tags(
    data: bytes, check_size: Callable[[int, int], None], ids: Sequence[int]
) -> tuple[tuple[int, int], list[Tag]]:
    """Find the tags of these ids, two of each at most, in a JPEG file.

    Returns width and height, and each tag's id and corners: upper left, upper right, lower right, lower left
    of the tag, in pixels as stored; the EXIF data are not applied. `check_size(width, height)` is called
    before a pixel is decoded. Raises UnreadableFormat, TooManyPixels or BrokenImage.
    """
    if format_of(data) != "JPEG":
        raise UnreadableFormat("These bytes are not a JPEG file. Send the photograph as JPEG.")
    check_jpeg(data)
    gray = _gray(data, check_size)
    height, width = gray.shape
    detections = _detector(2.0 if gray.size > _FINE_PIXELS else 1.0).detect(gray)
    return (width, height), _of_ids(detections, ids)


def find_lead_tags(gray: np.ndarray, ids: Sequence[int]) -> list[Tag]:
    """Find tags of lead in the gray pixels of a radiograph: at most two of each id.

    Returns them as `find_april_tags` does. Lead is bright, so that its tags are shown inverted; and a sheet
    that turns its back to the viewer of the picture shows them mirrored. Each way is looked for until one has
    all ids.
    """
    most: list[Tag] = []
    for inverted in (True, False):
        for mirrored in (False, True):
            shown = 255 - gray if inverted else gray
            shown = np.ascontiguousarray(shown[:, ::-1] if mirrored else shown)
            found = _of_ids(_detector(2.0 if gray.size > _FINE_PIXELS else 1.0).detect(shown), ids)
            if mirrored:
                width = gray.shape[1]
                found = [(number, [[width - x, y] for x, y in corners]) for number, corners in found]
            if {number for number, _ in found} == set(ids):
                return found
            most = max(most, found, key=len)
    return most


def _of_ids(detections: Sequence["Detection"], ids: Sequence[int]) -> list[Tag]:
    """Return the corners of what was read without an error, two of each id at most."""
    tags: list[Tag] = []
    for number in ids:
        exact = [found for found in detections if found.tag_id == number and found.hamming == 0]
        tags += [(number, found.corners[[*_CLOCKWISE]].tolist()) for found in exact[:_MOST_OF_EACH]]
    return tags


def _gray(data: bytes, check_size: Callable[[int, int], None]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as picture:
            if min(picture.size) < _SMALLEST_SIDE:
                raise BrokenImage("The photograph is a few pixels wide. Send it in its full size.")
            check_size(*picture.size)
            picture.draft("L", picture.size)  # Colours are not decoded.
            picture.load()
            return np.array(picture.convert("L"))
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow raises errors of many kinds on damaged files.
        raise BrokenImage(
            "The photograph does not decode; it may have been cut off on its way. Send it again."
        ) from error


@cache
def _detector(every: float) -> "Detector":
    from pyapriltags import Detector

    return Detector(families=_FAMILY, nthreads=1, quad_decimate=every)
