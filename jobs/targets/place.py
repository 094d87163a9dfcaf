"""Places a region in space: its ray, its point where depth is known, and the covariance of either."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from jobs.geometry.camera import Camera, Vector
from jobs.geometry.two_views import NoCommonPoint, Placed, common_point_m, nearest_point_m
from jobs.geometry.uncertainty import (
    ANGLE_RAD,
    DISTANCE_PART,
    PRINCIPAL_PART,
    SPACING_PART,
    UNIFORM,
    Matrix,
    propagated,
)
from jobs.targets.view import View

Box = Sequence[float]
"""x, y, width, height in pixels."""


@dataclass(frozen=True)
class Measured:
    """What a point is made of: numbers, their standard deviations, and the function of such numbers.

    The first seven are those of the view's own camera: `camera_of` makes it of them.
    """

    point: Callable[[Matrix], Matrix]
    values: list[float]
    deviations: list[float]

    def covariance_m2(self) -> Matrix:
        """Return the 3 x 3 covariance of the point."""
        return propagated(self.point, self.values, self.deviations)


@dataclass(frozen=True)
class Place:
    """Where a region lies, in the frame `source`. `depth_m` is along the ray; `covariance_m2` is 3 x 3."""

    direction: Vector
    depth_m: tuple[float, float]
    point_m: Vector | None
    measured: Measured
    covariance_m2: Matrix
    point_from: Literal["two_views", "calibrated_plane"] | None = None
    residual_m: float | None = None


def place_of(box: Box, view: View) -> Place:
    """Return where one view alone says that a region lies."""
    camera, (near_m, far_m) = view.camera, view.depth_m
    x_px, y_px = middle_px(box)
    direction = camera.direction_through(x_px, y_px)
    depth_m = (near_m + far_m) / 2
    values, deviations = _camera_errors(camera, box)

    def point(measured: Matrix) -> Matrix:
        *of_camera, depth = measured
        changed, x, y = _measured(camera, of_camera)
        ray = changed.direction_through(x, y)
        return np.asarray(ray * (depth / ray[2]))

    measured = Measured(point, [*values, depth_m], [*deviations, (far_m - near_m) * UNIFORM])
    return Place(
        direction,
        (near_m / float(direction[2]), far_m / float(direction[2])),
        direction * (depth_m / direction[2]) if view.plane_known else None,
        measured,
        measured.covariance_m2(),
        "calibrated_plane" if view.plane_known else None,
    )


def place_by_two(box: Box, view: View, other_box: Box, other: View) -> Place | None:
    """Return where two views of one patient say that a region lies; None where they do not fit together."""
    if view.placed is None or other.placed is None:
        return None
    placed, other_placed = view.placed, other.placed
    try:
        common, residual_m = common_point_m(
            placed.ray_through(*middle_px(box)), other_placed.ray_through(*middle_px(other_box))
        )
        values, deviations = _placed_errors(placed, box)
        other_values, other_deviations = _placed_errors(other_placed, other_box)

        def point(measured: Matrix) -> Matrix:
            own, x, y = _measured_placed(placed, measured[: len(values)])
            partner, other_x, other_y = _measured_placed(other_placed, measured[len(values) :])
            found, _ = nearest_point_m(own.ray_through(x, y), partner.ray_through(other_x, other_y))
            return own.in_source_m(found)

        measured = Measured(point, [*values, *other_values], [*deviations, *other_deviations])
        covariance_m2 = measured.covariance_m2()
    except NoCommonPoint:
        return None
    point_m = placed.in_source_m(common)
    near_m, far_m = view.depth_m
    if not near_m <= point_m[2] <= far_m:
        return None
    alone = place_of(box, view)
    return replace(
        alone,
        point_m=point_m,
        measured=measured,
        covariance_m2=covariance_m2,
        point_from="two_views",
        residual_m=residual_m,
    )


def middle_px(box: Box) -> tuple[float, float]:
    """Return the middle of a box."""
    x, y, width, height = box
    return x + width / 2, y + height / 2


def camera_of(camera: Camera, values: Iterable[float]) -> Camera:
    """Return the camera that seven numbers say, the first of a place, otherwise as this one."""
    return _measured(camera, values)[0]


def _camera_errors(camera: Camera, box: Box) -> tuple[list[float], list[float]]:
    """Return the measured numbers that a ray is made of, and their standard deviations."""
    values = [
        *middle_px(box),
        *camera.principal_px,
        camera.column_spacing_m,
        camera.row_spacing_m,
        camera.source_to_detector_m,
    ]
    deviations = [
        box[2] * UNIFORM,
        box[3] * UNIFORM,
        camera.width_px * PRINCIPAL_PART,
        camera.height_px * PRINCIPAL_PART,
        camera.column_spacing_m * SPACING_PART,
        camera.row_spacing_m * SPACING_PART,
        camera.source_to_detector_m * DISTANCE_PART,
    ]
    return values, [float(deviation) for deviation in deviations]


def _measured(camera: Camera, values: Iterable[float]) -> tuple[Camera, float, float]:
    x_px, y_px, centre_x_px, centre_y_px, column_m, row_m, distance_m = values
    changed = replace(
        camera,
        principal_px=(centre_x_px, centre_y_px),
        column_spacing_m=column_m,
        row_spacing_m=row_m,
        source_to_detector_m=distance_m,
    )
    return changed, x_px, y_px


def _placed_errors(placed: Placed, box: Box) -> tuple[list[float], list[float]]:
    values, deviations = _camera_errors(placed.camera, box)
    values += [placed.isocentre_m, placed.primary_rad, placed.secondary_rad]
    deviations += [placed.isocentre_m * DISTANCE_PART, ANGLE_RAD, ANGLE_RAD]
    return values, deviations


def _measured_placed(placed: Placed, values: Iterable[float]) -> tuple[Placed, float, float]:
    *of_camera, isocentre_m, primary_rad, secondary_rad = values
    camera, x_px, y_px = _measured(placed.camera, of_camera)
    changed = replace(
        placed,
        camera=camera,
        isocentre_m=isocentre_m,
        primary_rad=primary_rad,
        secondary_rad=secondary_rad,
    )
    return changed, x_px, y_px
