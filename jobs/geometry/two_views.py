"""Finds the point that two views of the same patient show, in the frame of the gantry's isocentre."""

from dataclasses import dataclass

import numpy as np

from jobs.geometry.camera import Camera, Vector
from jobs.geometry.directions import axes_of_angles, beam_of_angles

MOST_RESIDUAL_M = 0.010
"""Rays that miss each other by more show two things, or were taken with another geometry than stated."""
LEAST_ANGLE_RAD = float(np.radians(15))
"""Between rays that are closer to parallel the depth of their nearest point says nothing."""
Ray = tuple[Vector, Vector]
"""The origin in metres, and the direction, of length 1."""


class NoCommonPoint(ValueError):
    """Two rays show no common point: they miss each other, or are nearly parallel."""


@dataclass(frozen=True)
class Placed:
    """A camera at its place around the isocentre, which lies `isocentre_m` from the focal spot.

    The angles are DICOM's positioner angles. `orientation` has the letters of Patient Orientation.
    """

    camera: Camera
    primary_rad: float
    secondary_rad: float
    isocentre_m: float
    orientation: tuple[str, str]

    def axes(self) -> Vector:
        """Return the axes of the frame `source` as columns. Raises NoCommonPoint where they are open."""
        found = axes_of_angles(self.primary_rad, self.secondary_rad, self.orientation)
        if found is None:
            raise NoCommonPoint("the orientation of the picture does not match the angles")
        x, y = found
        beam = beam_of_angles(self.primary_rad, self.secondary_rad)
        return np.stack([-x if self.camera.mirrored else x, y, beam], axis=1)

    def source_m(self) -> Vector:
        """Return where the focal spot lies, from the isocentre."""
        return -self.isocentre_m * beam_of_angles(self.primary_rad, self.secondary_rad)

    def ray_through(self, x_px: float, y_px: float) -> Ray:
        """Return the ray through a pixel. Raises NoCommonPoint as `axes` does."""
        return self.source_m(), self.axes() @ self.camera.direction_through(x_px, y_px)

    def in_source_m(self, point_m: Vector) -> Vector:
        """Return a point of the frame of the isocentre in the frame `source`."""
        return np.asarray(self.axes().T @ (point_m - self.source_m()))


def nearest_point_m(first: Ray, second: Ray) -> tuple[Vector, float]:
    """Return the middle of the shortest line between two rays, and the length of that line (the residual).

    Raises NoCommonPoint below LEAST_ANGLE_RAD, and where the rays meet behind a focal spot.
    """
    (origin, direction), (other_origin, other_direction) = first, second
    cosine = float(direction @ other_direction)
    if 1 - cosine**2 < np.sin(LEAST_ANGLE_RAD) ** 2:
        raise NoCommonPoint("the rays are nearly parallel")
    between = other_origin - origin
    along_m = (between @ direction - cosine * (between @ other_direction)) / (1 - cosine**2)
    other_along_m = cosine * along_m - between @ other_direction
    if min(along_m, other_along_m) <= 0:
        raise NoCommonPoint("the rays meet behind a focal spot")
    point = origin + along_m * direction
    other_point = other_origin + other_along_m * other_direction
    return (point + other_point) / 2, float(np.linalg.norm(point - other_point))


def common_point_m(first: Ray, second: Ray) -> tuple[Vector, float]:
    """Return as `nearest_point_m`. Raises NoCommonPoint for a residual above MOST_RESIDUAL_M, too."""
    point_m, residual_m = nearest_point_m(first, second)
    if residual_m > MOST_RESIDUAL_M:
        raise NoCommonPoint(f"the rays miss each other by {residual_m * 1000:.1f} mm")
    return point_m, residual_m
