"""Describes tube and detector as a camera: which ray goes through a pixel, and where a point is shown.

Pixels are continuous: (0, 0) is the upper left corner of the upper left pixel, as in DICOM's graphic data.
ROS has (0, 0) at the centre of that pixel. Both frames in metres have x along the columns, y down the rows
and z from the tube to the detector; `source` has its origin in the focal spot, `detector` in the image's
centre.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Camera:
    """A tube at `source_to_detector_m` from the plane of a detector, with its central ray at right angles.

    `column_spacing_m` lies between columns, `row_spacing_m` between rows. `principal_px` (x, y) is the pixel
    in which the central ray ends: the image's centre unless it is known. A `mirrored` picture shows the
    patient as seen from the detector. The frames stay right-handed: x then runs against the columns, and fx
    is negative.
    """

    source_to_detector_m: float
    column_spacing_m: float
    row_spacing_m: float
    width_px: float
    height_px: float
    principal_px: tuple[float, float]
    mirrored: bool = False

    @property
    def _column_step_m(self) -> float:
        return -self.column_spacing_m if self.mirrored else self.column_spacing_m

    @property
    def focal_px(self) -> tuple[float, float]:
        """The focal lengths fx and fy of a pinhole camera."""
        return (
            self.source_to_detector_m / self._column_step_m,
            self.source_to_detector_m / self.row_spacing_m,
        )

    def source_in_detector_m(self) -> Vector:
        """Return where the focal spot lies in the frame of the detector."""
        x_m, y_m = self.detector_m(*self.principal_px)
        return np.array([x_m, y_m, -self.source_to_detector_m])

    def detector_m(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return where a pixel lies in the plane of the detector, from the image's centre."""
        return (
            (x_px - self.width_px / 2) * self._column_step_m,
            (y_px - self.height_px / 2) * self.row_spacing_m,
        )

    def direction_through(self, x_px: float, y_px: float) -> Vector:
        """Return the direction, of length 1, of the ray from the focal spot through a pixel."""
        centre_x_px, centre_y_px = self.principal_px
        across = np.array(
            [
                (x_px - centre_x_px) * self._column_step_m,
                (y_px - centre_y_px) * self.row_spacing_m,
                self.source_to_detector_m,
            ]
        )
        return across / np.linalg.norm(across)

    def pixel_of(self, point_m: Vector) -> tuple[float, float]:
        """Return the pixel that shows a point of the frame `source`. Raises ValueError behind the tube."""
        x_m, y_m, z_m = (float(value) for value in point_m)
        if z_m <= 0:
            raise ValueError("a point at or behind the focal spot is shown in no pixel")
        fx_px, fy_px = self.focal_px
        return self.principal_px[0] + fx_px * x_m / z_m, self.principal_px[1] + fy_px * y_m / z_m


def ros_px(pixel_px: float) -> float:
    """Return a coordinate as ROS counts it: from the centre of the first pixel."""
    return pixel_px - 0.5
