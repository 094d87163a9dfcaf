"""Finds where a sheet with lead tags lay in a radiograph, and refuses what may not be trusted."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from api.ar.registration import check_ruler, check_shape, fitting_poses, refused, reprojection_of, size_check
from api.ar.registration_documents import ComposedPose, FilmPose
from jobs.geometry.camera import Camera
from jobs.geometry.depth import LEAST_DEPTH_M
from jobs.geometry.homography import Matrix
from jobs.geometry.marker_sheet import scale_deviation, scale_of
from jobs.geometry.planar_pose import Pose, alternative_of
from jobs.targets.patient import Sheet, pinhole_of, sheet_of, sheet_points_mm

_SIGMA_PX = {"corners": 0.5, "radiograph": 0.3}
"""Standard deviation of a coordinate of a corner, where the corners fit no worse."""
_CORNERS = 8


def film_registration_of(
    given: Mapping[str, Any], camera: Camera, source: str, corners_px: Matrix, second_px: Matrix
) -> dict[str, Any]:
    """Return the numbers of a sheet in a radiograph, without job and moment.

    Raises Problem 422 for tags that contradict each other, the stated size, or the spacing of the radiograph.
    """
    marker_mm, ruler_mm = float(given["marker_mm"]), given.get("ruler_mm")
    check_ruler(ruler_mm)
    scaled, pinhole = scale_of(ruler_mm), pinhole_of(camera)
    faces = _faces(corners_px, second_px, camera)
    pixels, points_m = np.vstack([corners_px, second_px]), sheet_points_mm(marker_mm) * scaled
    marker = fitting_poses(points_m[:4], corners_px, pinhole, "the marker: one is misplaced, or it is bent")
    check = size_check(marker[0], points_m, pixels, pinhole, _SIGMA_PX[source], marker_mm, scaled)
    poses = fitting_poses(points_m, pixels, pinhole, "both tags: they are not as far apart as on the sheet")
    sigma_px = max(_SIGMA_PX[source], math.sqrt(poses[0].squares_px2 / (2 * _CORNERS - 6)))
    other = alternative_of(poses, sigma_px)
    sheets = [
        Sheet(pose, points_m, pixels, sigma_px, scale_deviation(ruler_mm))
        for pose in (poses[0], *([other] if other else ()))
    ]
    documents = [_pose_document(sheet, camera) for sheet in sheets]
    _check_depth(poses[0], documents[0]["sigma_m"][2], camera)
    return {
        **documents[0],
        "source": source,
        "alternative": documents[1] if other else None,
        "sigma_px": round(sigma_px, 4),
        "faces": faces,
        "marker_mm": marker_mm,
        "ruler_mm": None if ruler_mm is None else float(ruler_mm),
        "size_check": check,
        "corners_px": corners_px.tolist(),
        "second_corners_px": second_px.tolist(),
    }


def composed(
    film: Mapping[str, Any], by_camera: Mapping[str, Any] | None, camera: Camera
) -> ComposedPose | None:
    """Return where the focal spot lies before the camera of the photograph that was registered; else None.

    None, too, where two poses fit either picture, or where the sheet was registered with another size.
    """
    if by_camera is None or film["alternative"] or by_camera["alternative"]:
        return None
    if not _same_sheet(film, by_camera):
        return None
    from_marker, in_source = (
        np.array(matrix) for matrix in (by_camera["camera_from_marker"], film["source_from_marker"])
    )
    whole = from_marker @ np.linalg.inv(in_source)
    turn, lever = whole[:3, :3], whole[:3, 3] - from_marker[:3, 3]
    # Shifts of, and turns about, the middle of the marker, as each camera sees them.
    of_camera = np.block([[np.eye(3), -_cross(lever)], [np.zeros((3, 3)), np.eye(3)]])
    of_film = np.block([[-turn, -turn @ _cross(in_source[:3, 3])], [np.zeros((3, 3)), -turn]])
    own = np.diag(np.square([*by_camera["sigma_m"], *by_camera["sigma_rad"]]))
    from_film = sheet_of(film).covariance(camera)
    sigmas = np.sqrt(np.diag(of_camera @ own @ of_camera.T + of_film @ from_film @ of_film.T))
    return {
        "matrix": [[round(float(cell), 9) for cell in row] for row in whole],
        "sigma_m": [round(float(sigma), 7) for sigma in sigmas[:3]],
        "sigma_rad": [round(float(sigma), 7) for sigma in sigmas[3:]],
        "photograph_at": by_camera["at"],
    }


def _faces(corners_px: Matrix, second_px: Matrix, camera: Camera) -> str:
    """Return to which side the printed face looks: "tube" or "detector". Refuses corners of no square."""
    clockwise = [_area(corners) > 0 for corners in (corners_px, second_px)]
    for corners, name, front in zip(
        (corners_px, second_px), ("corners", "second corners"), clockwise, strict=True
    ):
        check_shape(corners if front else corners[::-1], name, "Take a larger sheet.")
    if clockwise[0] != clockwise[1]:
        raise refused("The tags contradict each other: one of them is shown mirrored, and the other is not.")
    return "tube" if clockwise[0] != camera.mirrored else "detector"


def _area(corners: Matrix) -> float:
    """Return twice the area that the corners enclose: positive where they run clockwise in the picture."""
    following = np.roll(corners, -1, axis=0)
    return float((corners[:, 0] * following[:, 1] - corners[:, 1] * following[:, 0]).sum())


def _check_depth(pose: Pose, sigma_m: float, camera: Camera) -> None:
    """Refuse a sheet that would lie behind the detector, or nearer to the tube than a patient can."""
    depth_m, farthest_m = float(pose.translation_m[2]), camera.source_to_detector_m
    if LEAST_DEPTH_M - 3 * sigma_m <= depth_m <= farthest_m + 3 * sigma_m:
        return
    shown = "smaller than they are" if depth_m > farthest_m else "far larger than they are"
    raise refused(
        f"The tags contradict the spacing of the radiograph: on the detector they are shown {shown}, as if"
        f" the sheet lay {1000 * depth_m:.0f} mm from the focal spot, with the detector at"
        f" {1000 * farthest_m:.0f} mm. `marker_mm`, the spacing or the distance of the tube is wrong."
    )


def _pose_document(sheet: Sheet, camera: Camera) -> FilmPose:
    sigmas = np.sqrt(np.diag(sheet.covariance(camera)))
    return {
        "source_from_marker": [[round(float(cell), 9) for cell in row] for row in sheet.pose.as_matrix()],
        "reprojection_px": round(reprojection_of(sheet.pose, _CORNERS), 4),
        "sigma_m": [round(float(sigma), 7) for sigma in sigmas[:3]],
        "sigma_rad": [round(float(sigma), 7) for sigma in sigmas[3:]],
    }


def _same_sheet(film: Mapping[str, Any], by_camera: Mapping[str, Any]) -> bool:
    return all(film[name] == by_camera[name] for name in ("marker_mm", "ruler_mm"))


def _cross(vector: Matrix) -> Matrix:
    """Return the matrix that makes the cross product of `vector` with another one."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
