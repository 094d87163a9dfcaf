"""Finds where a marker stood before a camera, from its corners, and refuses what may not be trusted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from api.ar.registration_documents import PoseDocument, SizeCheck
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.geometry.homography import Matrix, NoPose
from jobs.geometry.marker_sheet import (
    RULER_MM,
    marker_corners,
    scale_deviation,
    scale_of,
    second_corners_mm,
)
from jobs.geometry.planar_pose import Pinhole, Pose, alternative_of, poses_of, size_of

MOST_REPROJECTION_PX = 1.0
CORNER_SIGMA_PX = {"corners": 0.5, "photograph": 0.3}
"""Standard deviation of a coordinate of a corner, where the corners fit no worse."""
_MOST_SCALED_MM = 1.0
"""Most difference of the printed ruler from its length."""
_LEAST_SIDE_PX = 8.0
_NEARER = "Move the camera nearer."
_SIZE_PART, _WEAK_SIZE_PART = 0.02, 0.1
"""The stated size may differ so far from the one seen; a check that may be wrong by so much says nothing."""
_ORDER = "upper left, upper right, lower right, lower left, clockwise in the picture"


@dataclass(frozen=True)
class Seen:
    """The corners of the tags of a sheet in a picture, (4, 2) pixels each, and what found them."""

    source: str
    corners_px: Matrix
    second_px: Matrix | None


def camera_of(given: Mapping[str, Any], size: tuple[int, int] | None) -> Pinhole:
    """Return the camera that a request states. `size` is the picture's, where it is known.

    Raises Problem 400 for one that is stated in part, in both ways, or in none.
    """
    names = ("fx_px", "fy_px", "cx_px", "cy_px")
    numbers = [given[name] for name in names if name in given]
    angle = given.get("horizontal_fov_deg")
    if len(numbers) == 4 and angle is None:
        return Pinhole(*map(float, numbers))
    if numbers or angle is None:
        detail = f"State the camera by {', '.join(names)}, or by `horizontal_fov_deg` alone."
        raise Problem(Slug.MALFORMED, detail)
    if size is None:
        detail = "With `horizontal_fov_deg` name the size of the picture by `width_px` and `height_px`."
        raise Problem(Slug.MALFORMED, detail)
    width, height = size
    focal = width / 2 / math.tan(math.radians(angle) / 2)
    return Pinhole(focal, focal, width / 2, height / 2)


def registration_of(given: Mapping[str, Any], camera: Pinhole, seen: Seen) -> dict[str, Any]:
    """Return the numbers of a registration, without job and moment. Raises Problem 422: see `refused`."""
    marker_mm, ruler_mm = float(given["marker_mm"]), given.get("ruler_mm")
    check_ruler(ruler_mm)
    scaled = scale_of(ruler_mm)
    check_shape(seen.corners_px, "corners", _NEARER)
    points, pixels = marker_corners(marker_mm) * scaled, seen.corners_px
    sigma_px = CORNER_SIGMA_PX[seen.source]
    poses = fitting_poses(
        points, pixels, camera, "the marker: one is misplaced, the sheet is bent, or the lens distorts"
    )
    check = None
    if seen.second_px is not None:
        check_shape(seen.second_px, "second corners", _NEARER)
        points = np.vstack([points, second_corners_mm(marker_mm) * scaled])
        pixels = np.vstack([pixels, seen.second_px])
        check = size_check(poses[0], points, pixels, camera, sigma_px, marker_mm, scaled)
        poses = fitting_poses(
            points, pixels, camera, "both tags: the sheet is not flat or not as printed, or the lens distorts"
        )
    sigma_px = max(sigma_px, math.sqrt(poses[0].squares_px2 / (2 * len(points) - 6)))
    print_part = scale_deviation(ruler_mm)
    other = alternative_of(poses, sigma_px)
    return {
        **_pose_document(poses[0], len(points), sigma_px, print_part),
        "source": seen.source,
        "alternative": _pose_document(other, len(points), sigma_px, print_part) if other else None,
        "marker_mm": marker_mm,
        "ruler_mm": None if ruler_mm is None else float(ruler_mm),
        "size_check": check,
        "camera": {
            "fx_px": camera.fx_px,
            "fy_px": camera.fy_px,
            "cx_px": camera.cx_px,
            "cy_px": camera.cy_px,
        },
        "corners_px": seen.corners_px.tolist(),
        "second_corners_px": None if seen.second_px is None else seen.second_px.tolist(),
    }


def check_ruler(ruler_mm: float | None) -> None:
    """Refuse a sheet whose ruler was measured, and has another length. Raises Problem 422."""
    if ruler_mm is not None and abs(ruler_mm - RULER_MM) > _MOST_SCALED_MM:
        raise refused(
            f"The ruler of the print measures {ruler_mm:g} mm and not {RULER_MM}: the printer has scaled the"
            " sheet. Print it at 100 %."
        )


def check_shape(corners: Matrix, name: str, larger: str) -> None:
    """Refuse corners that are not those of a square seen from the front, in their order.

    `larger` says how to show a square that is too small.
    """
    sides = np.roll(corners, -1, axis=0) - corners
    following = np.roll(sides, -1, axis=0)
    turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
    lengths = np.linalg.norm(sides, axis=1)
    if lengths.min() < _LEAST_SIDE_PX:
        raise refused(f"A side between the {name} has less than {_LEAST_SIDE_PX:g} pixels. {larger}")
    # Each corner of a square that is seen as a needle, or has another order, is turned too little or wrong.
    if (turns < 0.05 * lengths * np.roll(lengths, -1)).any():
        raise refused(f"The {name} are not those of a square seen from the front: {_ORDER}.")


def fitting_poses(points: Matrix, pixels: Matrix, camera: Pinhole, fits: str) -> list[Pose]:
    """Return one pose or two, the likelier one first. Raises Problem 422: see `refused`.

    `fits` names what corners above MOST_REPROJECTION_PX do not fit.
    """
    try:
        poses = poses_of(points, pixels, camera)
    except NoPose as error:
        raise refused(
            f"No pose of a marker shows these corners. Send them in this order: {_ORDER}."
        ) from error
    away = reprojection_of(poses[0], len(points))
    if away > MOST_REPROJECTION_PX:
        detail = f"The corners lie {away:.1f} pixels from those of the best pose; at most"
        detail += f" {MOST_REPROJECTION_PX:g} is accepted. They do not fit {fits}."
        raise refused(detail, reprojection_px=round(away, 3))
    return poses


def size_check(
    pose: Pose,
    points: Matrix,
    pixels: Matrix,
    camera: Pinhole,
    sigma_px: float,
    marker_mm: float,
    scaled: float,
) -> SizeCheck | None:
    """Compare the size that the second tag shows with the stated one; None where it shows too little."""
    growth = np.vstack([marker_corners(1.0), second_corners_mm(1.0) - second_corners_mm(0.0)]) * scaled
    try:
        differs, sigma = size_of(pose, points, growth, pixels, camera, sigma_px)
    except (NoPose, np.linalg.LinAlgError):
        return None
    if 3 * sigma > _WEAK_SIZE_PART * marker_mm:
        return None
    if abs(differs) > max(3 * sigma, _SIZE_PART * marker_mm):
        raise refused(
            f"The sheet shows a marker of {marker_mm + differs:.1f} mm, and `marker_mm` says {marker_mm:g}."
            " Name the size that is printed on the sheet."
        )
    return {"marker_mm": round(marker_mm + differs, 3), "sigma_mm": round(sigma, 3)}


def _pose_document(pose: Pose, corners: int, sigma_px: float, print_part: float) -> PoseDocument:
    variances = np.diag(pose.covariance(sigma_px)).copy()
    variances[:3] += (print_part * pose.translation_m) ** 2
    sigmas = np.sqrt(variances)
    return {
        "camera_from_marker": [[round(float(cell), 9) for cell in row] for row in pose.as_matrix()],
        "reprojection_px": round(reprojection_of(pose, corners), 4),
        "sigma_m": [round(float(sigma), 7) for sigma in sigmas[:3]],
        "sigma_rad": [round(float(sigma), 7) for sigma in sigmas[3:]],
    }


def reprojection_of(pose: Pose, corners: int) -> float:
    """Return the root mean square distance of so many corners from those of a pose, in pixels."""
    return math.sqrt(pose.squares_px2 / corners)


def refused(detail: str, **extra: Any) -> Problem:
    """Make the problem of corners that give no pose that may be trusted."""
    return Problem(Slug.REGISTRATION_REFUSED, detail, **extra)
