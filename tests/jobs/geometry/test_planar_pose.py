"""Poses of a flat marker: what a camera would show of a pose gives that pose again, within its own sigmas."""

from collections.abc import Iterator

import numpy as np
import pytest

from jobs.geometry.homography import Matrix, NoPose
from jobs.geometry.planar_pose import Pinhole, Pose, alternative_of, poses_of, size_of

CAMERA = Pinhole(1000, 1010, 640.5, 479.5)
SQUARE = np.array([[-1, 1], [1, 1], [1, -1], [-1, -1]]) * 0.025
FACING = np.diag([1.0, -1.0, -1.0])


def turned(about: Matrix) -> Matrix:
    """The rotation about an axis by its length, by its series."""
    x, y, z = about
    across, whole, part = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]), np.eye(3), np.eye(3)
    for number in range(1, 40):
        part = part @ across / number
        whole = whole + part
    return whole


def drawn(count: int, farthest_m: float = 0.6) -> Iterator[tuple[Matrix, Matrix]]:
    """Rotations and positions by chance, seen from the front."""
    rng = np.random.default_rng(7)
    for _ in range(count):
        tilt, where, roll = rng.uniform(0, 1.1), rng.uniform(0, 2 * np.pi), rng.uniform(-np.pi, np.pi)
        axis = np.array([np.cos(where), np.sin(where), 0])
        rotation = turned(tilt * axis) @ FACING @ turned(np.array([0, 0, roll]))
        depth = rng.uniform(0.15, farthest_m)
        yield rotation, np.array([*rng.uniform(-0.3, 0.3, 2) * depth, depth])


def seen(rotation: Matrix, position_m: Matrix, points_m: Matrix = SQUARE) -> Matrix:
    """The pixels of points, by the camera's own matrix."""
    whole = np.array([[CAMERA.fx_px, 0, CAMERA.cx_px], [0, CAMERA.fy_px, CAMERA.cy_px], [0, 0, 1]])
    shown = (points_m @ rotation[:, :2].T + position_m) @ whole.T
    return np.asarray(shown[:, :2] / shown[:, 2:])


def misses(pose: Pose, rotation: Matrix, position_m: Matrix) -> Matrix:
    turn = rotation @ pose.rotation.T
    about = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    return np.concatenate([position_m - pose.translation_m, about])


def test_a_pose_is_found_again_from_the_pixels_that_show_it():
    for rotation, position_m in drawn(100):
        pose = poses_of(SQUARE, seen(rotation, position_m), CAMERA)[0]
        assert np.abs(misses(pose, rotation, position_m)).max() < 1e-7
        assert np.linalg.det(pose.rotation) == pytest.approx(1)
        assert pose.squares_px2 < 1e-12


def test_a_pose_lies_within_three_sigmas_of_each_number_in_95_percent():
    rng, within = np.random.default_rng(11), 0
    for rotation, position_m in drawn(400):
        pixels = seen(rotation, position_m) + rng.normal(size=(4, 2)) * 0.3
        poses = [pose for pose in poses_of(SQUARE, pixels, CAMERA) if pose.squares_px2 < 9]
        sigmas = [np.sqrt(np.diag(pose.covariance(0.3))) for pose in poses]
        off = [np.abs(misses(pose, rotation, position_m)) for pose in poses]
        within += any((o < 3 * s).all() for o, s in zip(off, sigmas, strict=True))
    assert within >= 380


def test_sigmas_are_no_larger_than_the_errors_ask_for():
    rng, parts = np.random.default_rng(12), []
    for rotation, position_m in drawn(200, farthest_m=0.3):
        pixels = seen(rotation, position_m) + rng.normal(size=(4, 2)) * 0.1
        pose = poses_of(SQUARE, pixels, CAMERA)[0]
        parts.append(misses(pose, rotation, position_m) / np.sqrt(np.diag(pose.covariance(0.1))))
    spread = np.sqrt(np.mean(np.square(parts), axis=0))
    assert ((spread > 0.7) & (spread < 1.4)).all(), spread


def test_a_small_tilt_far_away_has_a_second_pose_that_fits():
    rotation, position_m = turned(np.array([0.3, 0.2, 0])) @ FACING, np.array([0.0, 0.0, 3.0])
    first, second = poses_of(SQUARE, seen(rotation, position_m), CAMERA)
    assert np.abs(misses(first, rotation, position_m)).max() < 1e-6
    assert second.squares_px2 < 0.1
    angle = np.arccos((np.trace(first.rotation @ second.rotation.T) - 1) / 2)
    assert angle == pytest.approx(2 * np.hypot(0.3, 0.2), rel=0.1)


def test_the_size_of_a_part_is_found_where_another_part_has_a_known_one():
    fixed = SQUARE * 0.4 + [0.06, -0.05]
    rotation, position_m = turned(np.array([0.4, -0.2, 0])) @ FACING, np.array([0.02, 0.01, 0.4])
    pixels = seen(rotation, position_m, np.vstack([SQUARE * 1.1, fixed]))
    stated, growth = np.vstack([SQUARE, fixed]), np.vstack([SQUARE, np.zeros((4, 2))])
    pose = poses_of(SQUARE, pixels[:4], CAMERA)[0]
    differs, sigma = size_of(pose, stated, growth, pixels, CAMERA, 0.3)
    assert differs == pytest.approx(0.1, abs=1e-6)
    assert 0.001 < sigma < 0.1


@pytest.mark.parametrize(
    "pixels",
    [
        [[100, 100]] * 4,
        [[1e5, 0], [1e5, 1e-9], [1e5, 2e-9], [1e5, 3e-9]],
        [[np.nan, 0], [9, 0], [9, 9], [0, 9]],
    ],
)
def test_pixels_that_show_no_plane_give_no_pose(pixels: list[list[float]]):
    with pytest.raises(NoPose):
        poses_of(SQUARE, np.array(pixels, float), CAMERA)


def test_two_poses_within_the_deviation_of_one_are_no_alternative():
    rng, found_twice = np.random.default_rng(5), 0
    position_m = np.array([0.0, 0.0, 0.5])
    for _ in range(100):
        pixels = seen(FACING, position_m) + rng.normal(size=(4, 2)) * 0.3
        poses = poses_of(SQUARE, pixels, CAMERA)
        if len(poses) > 1 and np.linalg.norm(poses[0].rotation - poses[1].rotation) < 0.02:
            found_twice += 1
            assert alternative_of(poses, 0.3) is None
    assert found_twice > 0


def test_a_second_pose_is_an_alternative_unless_the_pixels_rule_it_out():
    rotation, position_m = turned(np.array([0.3, 0.2, 0])) @ FACING, np.array([0.0, 0.0, 3.0])
    poses = poses_of(SQUARE, seen(rotation, position_m), CAMERA)
    assert alternative_of(poses, 0.3) is poses[1]
    sure_px = float(np.sqrt(poses[1].squares_px2 - poses[0].squares_px2)) / 10
    assert alternative_of(poses, sure_px) is None
    assert alternative_of(poses[:1], 0.3) is None
