"""Says where the corners of both tags of a marker sheet lie, on paper and in lead alike.

The frame `marker`: origin in the middle of the marker, x to its right, y to its top, z out of the sheet.
"""

import math

import numpy as np

from jobs.geometry.homography import Matrix

CELLS = 8
"""Cells along the side of a tag's black square."""
RULER_MM = 100
SECOND_MM = 20
SECOND_LEFT_MM = 55
"""From the middle of the marker to the left side of the second tag."""
TEXT_BELOW_MM = 12
"""The first line below the marker's white border."""
_SECOND_BELOW_MM = 36
"""The lower side of the second tag below that line."""
_PRINT_PART, _MEASURED_PART = 0.01 / math.sqrt(3), 0.005 / math.sqrt(3)
"""Of a length on a sheet: 1 % where the ruler was not measured, half a millimetre of it where it was."""


def second_bottom_mm(size_mm: float) -> float:
    """Return where the second tag ends below the middle of the marker: a negative number."""
    return -(size_mm / 2 + size_mm / CELLS + TEXT_BELOW_MM + _SECOND_BELOW_MM)


def marker_corners(size: float) -> Matrix:
    """Return the (4, 2) corners of the marker, from its upper left one clockwise, in the unit of `size`."""
    return np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]) * size / 2


def second_corners_mm(marker_mm: float) -> Matrix:
    """Return the (4, 2) corners of the second tag, in the same order."""
    middle = [SECOND_LEFT_MM + SECOND_MM / 2, second_bottom_mm(marker_mm) + SECOND_MM / 2]
    return marker_corners(SECOND_MM) + middle


def scale_of(ruler_mm: float | None) -> float:
    """Return metres on the sheet for each millimetre of its drawing, by its ruler as it was measured."""
    return (RULER_MM if ruler_mm is None else ruler_mm) / RULER_MM / 1000


def scale_deviation(ruler_mm: float | None) -> float:
    """Return the standard deviation of a length on the sheet, as part of it."""
    return _PRINT_PART if ruler_mm is None else _MEASURED_PART
