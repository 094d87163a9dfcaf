"""Finds the poses, in closed form, in which a plane would be shown as it is seen: where refinement begins."""

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


class NoPose(ValueError):
    """The points and pixels belong to no pose before the camera."""


def rotations_of(points_m: Matrix, seen: Matrix) -> list[Matrix]:
    """Return the two rotations that the homography from the plane to the picture allows near the origin.

    Raises NoPose, or LinAlgError for pixels that are no numbers.
    """
    homography = _homography(points_m, seen)
    p, q = homography[:2, 2]
    jacobian = homography[:2, :2] - np.outer([p, q], homography[2, :2])
    towards = _rotation_to(np.array([p, q, 1.0]))
    inner = np.linalg.solve(towards[:2, :2] - np.outer([p, q], towards[2, :2]), jacobian)
    scale = np.linalg.norm(inner, 2)
    if not np.isfinite(scale) or scale <= 0:
        raise NoPose("the points are shown without extent")
    inner = inner / scale
    # Its columns are the first two of a rotation without their last row, which is known up to its sign.
    rest = np.eye(2) - inner.T @ inner
    last = np.sqrt(np.clip(np.diag(rest), 0, None)) * [1, -1 if rest[0, 1] < 0 else 1]
    rotations = []
    for sign in (1, -1):
        first, second = np.vstack([inner, sign * last]).T
        rotations.append(towards @ np.column_stack([first, second, np.cross(first, second)]))
    return rotations


def _homography(points_m: Matrix, seen: Matrix) -> Matrix:
    """Return the homography that maps (n, 2) points to (n, 2) others, to least squares of the equations."""
    scale = np.abs(points_m).max()
    rows = []
    for (x, y), (u, v) in zip(points_m / scale, seen, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y, -u])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y, -v])
    found = np.linalg.svd(np.array(rows))[2][-1].reshape(3, 3)
    found = found @ np.diag([1 / scale, 1 / scale, 1])
    if abs(found[2, 2]) < 1e-12:
        raise NoPose("the middle of the marker lies beside the picture's plane")
    return np.asarray(found / found[2, 2])


def _rotation_to(direction: Matrix) -> Matrix:
    """Return the rotation that turns the z axis to a direction with z above 0, the short way."""
    x, y, z = direction / np.linalg.norm(direction)
    return np.array(
        [
            [1 - x * x / (1 + z), -x * y / (1 + z), x],
            [-x * y / (1 + z), 1 - y * y / (1 + z), y],
            [-x, -y, z],
        ]
    )


def translation_of(rotation: Matrix, points_m: Matrix, seen: Matrix) -> Matrix:
    """Return the translation with which the points are shown nearest to where they are seen."""
    turned = points_m @ rotation[:, :2].T
    rows, values = [], []
    for (x, y, z), (u, v) in zip(turned, seen, strict=True):
        rows += [[1, 0, -u], [0, 1, -v]]
        values += [u * z - x, v * z - y]
    return np.asarray(np.linalg.lstsq(np.array(rows), np.array(values), rcond=None)[0])
