"""Places targets in the frame `patient`: that of a sheet with lead tags which lay on the patient.

The radiograph shows the tags. Their corners and the camera give the pose of the sheet in the frame `source`.
Errors of the camera move the ray of a target and the sheet alike: they are carried over together.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.geometry.camera import Camera, Vector
from jobs.geometry.marker_sheet import marker_corners, scale_deviation, scale_of, second_corners_mm
from jobs.geometry.planar_pose import Pinhole, Pose, moved
from jobs.geometry.uncertainty import DISTANCE_PART, PRINCIPAL_PART, SPACING_PART, Matrix, propagated
from jobs.targets.place import Place, camera_of

_PIXELS = 16
"""Coordinates of the eight corners."""


@dataclass(frozen=True)
class Sheet:
    """Where a sheet lay in the frame `source`, and what that was made of.

    `points_m` (8, 2) are the corners on the sheet, `pixels` where the radiograph shows them, each wrong by
    `sigma_px`; a length on the sheet is wrong by `scale_part` of it.
    """

    pose: Pose
    points_m: Matrix
    pixels: Matrix
    sigma_px: float
    scale_part: float

    def given(self) -> tuple[list[float], list[float]]:
        """Return the numbers that were measured of the sheet, and their standard deviations."""
        return [*self.pixels.ravel(), 1.0], [self.sigma_px] * _PIXELS + [self.scale_part]

    def moved(self, camera: Camera, values: Matrix) -> tuple[Matrix, Matrix, Matrix]:
        """Return rotation, translation and step, as `planar_pose.moved`, for slightly other numbers."""
        pixels, scale = values[:_PIXELS].reshape(-1, 2), values[_PIXELS]
        return moved(self.pose, self.points_m * scale, pixels, pinhole_of(camera))

    def covariance(self, camera: Camera) -> Matrix:
        """Return the 6 x 6 covariance of the pose: along and about the axes of `source`, in m² and rad²."""
        own, own_deviations = self.given()
        numbers = [
            *camera.principal_px,
            camera.column_spacing_m,
            camera.row_spacing_m,
            camera.source_to_detector_m,
        ]
        deviations = [
            camera.width_px * PRINCIPAL_PART,
            camera.height_px * PRINCIPAL_PART,
            camera.column_spacing_m * SPACING_PART,
            camera.row_spacing_m * SPACING_PART,
            camera.source_to_detector_m * DISTANCE_PART,
        ]

        def step(values: Matrix) -> Matrix:
            changed = camera_of(camera, [0.0, 0.0, *values[:5]])
            return self.moved(changed, values[5:])[2]

        return propagated(step, [*numbers, *own], [*deviations, *own_deviations])


@dataclass(frozen=True)
class InPatient:
    """A target in the frame `patient`: its ray, its point where one is known, and their covariance."""

    origin_m: Vector
    direction: Vector
    point_m: Vector | None
    covariance_m2: Matrix


def pinhole_of(camera: Camera) -> Pinhole:
    """Return tube and detector as a pinhole camera, of the frame `source`."""
    return Pinhole(*camera.focal_px, *camera.principal_px)


def sheet_points_mm(marker_mm: float) -> Matrix:
    """Return the (8, 2) corners of both tags on a sheet."""
    return np.vstack([marker_corners(marker_mm), second_corners_mm(marker_mm)])


def sheet_of(kept: Mapping[str, Any]) -> Sheet:
    """Return the sheet that was registered in a radiograph, of what is kept of it."""
    matrix = np.array(kept["source_from_marker"])
    return Sheet(
        Pose(matrix[:3, :3], matrix[:3, 3], 0.0, np.eye(6)),
        sheet_points_mm(kept["marker_mm"]) * scale_of(kept["ruler_mm"]),
        np.array([*kept["corners_px"], *kept["second_corners_px"]]),
        kept["sigma_px"],
        scale_deviation(kept["ruler_mm"]),
    )


def in_patient(place: Place, camera: Camera, sheet: Sheet) -> InPatient:
    """Return where a place of the frame `source` lies in the frame `patient`."""
    rotation, translation_m = sheet.pose.rotation, sheet.pose.translation_m
    measured = place.measured
    count = len(measured.values)
    own, deviations = sheet.given()

    def point(values: Matrix) -> Matrix:
        turned, shifted_m, _ = sheet.moved(camera_of(camera, values[:7]), values[count:])
        return np.asarray(turned.T @ (measured.point(values[:count]) - shifted_m))

    return InPatient(
        -rotation.T @ translation_m,
        rotation.T @ place.direction,
        None if place.point_m is None else rotation.T @ (place.point_m - translation_m),
        propagated(point, [*measured.values, *own], [*measured.deviations, *deviations]),
    )
