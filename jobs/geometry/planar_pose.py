"""Finds where a camera stands before a flat marker, from the pixels that show points of the marker.

Two frames, right-handed, in metres. `marker`: origin in the middle of the square, x to its right, y to its
top, z out of the sheet, as the scene of augmented reality has them. `camera`: origin in the lens, x to the
right of the picture, y down, z forward. Pixels are continuous: (0, 0) is the upper left corner of the upper
left pixel. A lens that distorts is not modelled.

A flat marker has up to two poses of similar reprojection error. Both come from the homography in closed form
(Collins and Bartoli 2014, "Infinitesimal plane-based pose estimation"), and each is refined by least squares.
"""

from dataclasses import dataclass

import numpy as np

from jobs.geometry.homography import Matrix, NoPose, rotations_of, translation_of

_STEPS = 50
_SMALLEST_STEP = 1e-9
"""Metres, and radians. Refinement ends at a smaller step."""
_FIRST_DAMPING = 1e-3
_SAME_RAD = 1e-4
_WORST_CONDITION = 1e12
_AMBIGUOUS = 9.0
"""Difference of the sums of squares, in variances of a pixel, below which either pose may be the true one."""


@dataclass(frozen=True)
class Pinhole:
    """A camera without distortion: focal lengths and principal point, in pixels."""

    fx_px: float
    fy_px: float
    cx_px: float
    cy_px: float

    def normalized(self, pixels: Matrix) -> Matrix:
        """Return (n, 2) pixels as x / z and y / z."""
        return (pixels - [self.cx_px, self.cy_px]) / [self.fx_px, self.fy_px]

    def pixels_of(self, points_m: Matrix) -> Matrix:
        """Return the (n, 2) pixels that show (n, 3) points of the frame `camera`."""
        return points_m[:, :2] / points_m[:, 2:] * [self.fx_px, self.fy_px] + [self.cx_px, self.cy_px]

    def derivative(self, points_m: Matrix) -> Matrix:
        """Return how those pixels change with the points: (n, 2, 3)."""
        x, y, z = points_m.T
        zero = np.zeros_like(z)
        across = [self.fx_px / z, zero, -self.fx_px * x / z**2]
        down = [zero, self.fy_px / z, -self.fy_px * y / z**2]
        return np.array([across, down]).transpose(2, 0, 1)


@dataclass(frozen=True)
class Pose:
    """Where a marker lies: a point of it is `rotation @ point + translation_m` in the frame `camera`.

    `squares_px2` is the sum of the squared distances between the pixels given and those of the pose.
    `information` (n, n) is JᵀJ of the pixels by position, by small turns about the axes of the camera, and by
    the size of the marker where that was free: its inverse times the variance of a pixel is the covariance.
    """

    rotation: Matrix
    translation_m: Matrix
    squares_px2: float
    information: Matrix

    def covariance(self, sigma_px: float) -> Matrix:
        """Return the covariance, in m² and rad², where each pixel has this standard deviation."""
        return np.asarray(np.linalg.inv(self.information) * sigma_px**2)

    def as_matrix(self) -> Matrix:
        """Return the 4 x 4 matrix of the pose."""
        whole = np.eye(4)
        whole[:3, :3], whole[:3, 3] = self.rotation, self.translation_m
        return whole


def poses_of(points_m: Matrix, pixels: Matrix, camera: Pinhole) -> list[Pose]:
    """Return one pose or two, the likelier one first, of (n, 2) points of the marker shown in (n, 2) pixels.

    At least four points, no three of them on a line. Raises NoPose.
    """
    try:
        rotations = rotations_of(points_m, camera.normalized(pixels))
    except np.linalg.LinAlgError as error:
        raise NoPose("no plane is shown in these pixels") from error
    found: list[Pose] = []
    for rotation in rotations:
        try:
            translation_m = translation_of(rotation, points_m, camera.normalized(pixels))
            found.append(_refined(rotation, translation_m, points_m, pixels, camera))
        except (NoPose, np.linalg.LinAlgError):
            continue
    if not found:
        raise NoPose("no pose before the camera shows these points in these pixels")
    found.sort(key=lambda pose: pose.squares_px2)
    return [found[0], *(pose for pose in found[1:] if _angle(pose, found[0]) > _SAME_RAD)]


def alternative_of(poses: list[Pose], sigma_px: float) -> Pose | None:
    """Return the second of `poses` where pixels with this deviation do not tell which is true; else None.

    None, too, where the second lies within the deviation of the first: near a frontal view they are one.
    """
    if len(poses) < 2 or poses[1].squares_px2 - poses[0].squares_px2 >= _AMBIGUOUS * sigma_px**2:
        return None
    first, second = poses
    # The sine of the turn between both: poses that differ by a quarter turn are no neighbours either way.
    turned = (second.rotation @ first.rotation.T - first.rotation @ second.rotation.T) / 2
    by_rad = np.array([turned[2, 1], turned[0, 2], turned[1, 0]])
    within = by_rad @ np.linalg.solve(first.covariance(sigma_px)[3:, 3:], by_rad) < 1
    return None if within else second


def size_of(
    pose: Pose, points_m: Matrix, growth_m: Matrix, pixels: Matrix, camera: Pinhole, sigma_px: float
) -> tuple[float, float]:
    """Return by how much the size of the marker differs from what `points_m` says, and the sigma of that.

    `growth_m` (n, 2) is how the points change with the size, whose unit is that of the answer. Raises NoPose.
    """
    rotation, translation_m, size = pose.rotation, pose.translation_m, 0.0
    for _ in range(_STEPS):
        points = points_m + size * growth_m
        step, _, information = _step(rotation, translation_m, points, pixels, camera, growth_m)
        rotation, translation_m = _turn(step[3:6]) @ rotation, translation_m + step[:3]
        size += float(step[6])
        if np.abs(step).max() < _SMALLEST_STEP:
            break
    return size, float(np.sqrt(np.linalg.inv(information)[6, 6])) * sigma_px


def moved(pose: Pose, points_m: Matrix, pixels: Matrix, camera: Pinhole) -> tuple[Matrix, Matrix, Matrix]:
    """Return the pose that slightly other points, pixels or camera give, to first order.

    Rotation, translation, and the step to both: metres along, and radians about the axes of the camera.
    Raises NoPose.
    """
    step, _, _ = _step(pose.rotation, pose.translation_m, points_m, pixels, camera)
    return _turn(step[3:]) @ pose.rotation, pose.translation_m + step[:3], step


def _refined(
    rotation: Matrix, translation_m: Matrix, points_m: Matrix, pixels: Matrix, camera: Pinhole
) -> Pose:
    """Return the pose of least squares near this one, by Levenberg and Marquardt."""
    damping = _FIRST_DAMPING
    step, squares, information = _step(rotation, translation_m, points_m, pixels, camera, damping=damping)
    for _ in range(_STEPS):
        turned, moved = _turn(step[3:]) @ rotation, translation_m + step[:3]
        try:
            after = _step(turned, moved, points_m, pixels, camera, damping=damping / 10)
        except NoPose:
            after = None
        if np.abs(step).max() < _SMALLEST_STEP:
            break
        if after is not None and after[1] <= squares:
            rotation, translation_m, damping = turned, moved, damping / 10
            step, squares, information = after
        else:
            damping *= 10
            step, _, _ = _step(rotation, translation_m, points_m, pixels, camera, damping=damping)
    if np.linalg.cond(information) > _WORST_CONDITION:
        raise NoPose("the points do not determine a pose")
    return Pose(rotation, translation_m, squares, information)


def _step(
    rotation: Matrix,
    translation_m: Matrix,
    points_m: Matrix,
    pixels: Matrix,
    camera: Pinhole,
    growth_m: Matrix | None = None,
    damping: float = 0.0,
) -> tuple[Matrix, float, Matrix]:
    """Return the next step of least squares, the present sum of squares, and JᵀJ. Raises NoPose."""
    turned = points_m @ rotation[:, :2].T
    placed = turned + translation_m
    if not np.isfinite(placed).all() or placed[:, 2].min() <= 0:
        raise NoPose("a point lies behind the camera")
    x, y, z = turned.T
    zero = np.zeros_like(x)
    by_turns = np.array([[zero, z, -y], [-z, zero, x], [y, -x, zero]]).transpose(2, 0, 1)
    parts = [np.broadcast_to(np.eye(3), by_turns.shape), by_turns]
    if growth_m is not None:
        parts.append((growth_m @ rotation[:, :2].T)[:, :, None])
    jacobian = (camera.derivative(placed) @ np.concatenate(parts, axis=2)).reshape(2 * len(points_m), -1)
    missing = (pixels - camera.pixels_of(placed)).ravel()
    information = jacobian.T @ jacobian
    damped = information + damping * np.diag(np.diag(information))
    step = np.linalg.solve(damped, jacobian.T @ missing).astype(np.float64)
    return step, float(missing @ missing), information


def _turn(by_rad: Matrix) -> Matrix:
    """Return the rotation about the axis `by_rad` by its length."""
    angle = float(np.linalg.norm(by_rad))
    if angle == 0:
        return np.eye(3)
    x, y, z = by_rad / angle
    across = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * across + (1 - np.cos(angle)) * across @ across)


def _angle(one: Pose, other: Pose) -> float:
    """Return the angle between the directions of two poses."""
    return float(np.linalg.norm(one.rotation - other.rotation) / np.sqrt(2))
