"""Says how wrong a length may be, and carries errors of measurements over to what is computed of them.

Standard deviations. What a header states within a tolerance is uniform in it: the tolerance by the root of 3.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

UNIFORM = 1 / np.sqrt(12)
"""Standard deviation of what lies anywhere in an interval, as part of its length."""
DISTANCE_PART = 0.02 / np.sqrt(3)
"""Of distances from the focal spot: 21 CFR 1020.31 lets their indication be wrong by 2 %."""
SPACING_PART = 0.005 / np.sqrt(3)
"""Of the detector's spacing: that of the element's centres is made to far less than 0.5 %."""
PRINCIPAL_PART = 0.01
"""Of the principal point where the image's centre is taken for it, as part of the image's side."""
ANGLE_RAD = float(np.radians(1.0) / np.sqrt(3))
"""Of a positioner's angle, which a header states in whole degrees."""
UNKNOWN_ORIENTATION = 1e6
"""Variance that stands for an orientation of which nothing is known, as in ROS."""

Matrix = NDArray[np.float64]
_PART_OF_DEVIATION = 1e-3


def propagated(
    function: Callable[[Matrix], Matrix], values: Sequence[float], deviations: Sequence[float]
) -> Matrix:
    """Return the covariance of what `function` makes of measured values with independent errors.

    `function` takes a vector like `values` and returns a vector. To first order, by central differences.
    """
    at, sigmas = np.asarray(values, float), np.asarray(deviations, float)
    columns = []
    for place, sigma in enumerate(sigmas):
        step = np.zeros(len(at))
        step[place] = sigma * _PART_OF_DEVIATION
        if sigma == 0:
            columns.append(np.zeros_like(function(at)))
            continue
        columns.append((function(at + step) - function(at - step)) / (2 * _PART_OF_DEVIATION))
    scaled = np.stack(columns, axis=1)  # each derivative times its standard deviation
    return np.asarray(scaled @ scaled.T)


def pose_covariance(position_m2: Matrix) -> list[float]:
    """Return the 36 numbers, row by row, of position and of an orientation that is unknown (m² and rad²)."""
    whole = np.zeros((6, 6))
    whole[:3, :3] = (position_m2 + position_m2.T) / 2
    whole[3:, 3:] = np.eye(3) * UNKNOWN_ORIENTATION
    return [float(value) for value in whole.ravel()]
