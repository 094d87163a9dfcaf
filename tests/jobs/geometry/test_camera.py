"""Frames, rays and pixels: what is computed there and back is the same, and the frames are right-handed."""

from math import pi, radians

import numpy as np
import pytest

from jobs.geometry.camera import Camera, ros_px
from jobs.geometry.depth import depth_interval_m, plane_interval_m
from jobs.geometry.directions import axes_of_angles, beam_of_angles, beam_of_view, direction_of, handedness
from jobs.geometry.two_views import NoCommonPoint, Placed, common_point_m, nearest_point_m
from jobs.geometry.uncertainty import pose_covariance, propagated

hypothesis = pytest.importorskip("hypothesis", reason="NO PROPERTY WAS TRIED: hypothesis is missing")
st = hypothesis.strategies
untimed = hypothesis.settings(deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
"""Other tests run beside these, and may leave them no processor for seconds."""


def a_camera(mirrored: bool = False, **changes: float) -> Camera:
    given = {"source_to_detector_m": 1.0, "column_spacing_m": 1e-4, "row_spacing_m": 2e-4} | changes
    return Camera(**given, width_px=1000, height_px=800, principal_px=(500.0, 400.0), mirrored=mirrored)


cameras = st.builds(
    Camera,
    source_to_detector_m=st.floats(0.3, 4),
    column_spacing_m=st.floats(2e-5, 2e-3),
    row_spacing_m=st.floats(2e-5, 2e-3),
    width_px=st.integers(64, 8000),
    height_px=st.integers(64, 8000),
    principal_px=st.tuples(st.floats(0, 8000), st.floats(0, 8000)),
    mirrored=st.booleans(),
)


@untimed
@hypothesis.given(cameras, st.floats(0, 8000), st.floats(0, 8000), st.floats(0.05, 4))
def test_a_pixel_its_ray_and_the_pixel_again_are_the_same(camera: Camera, x: float, y: float, along: float):
    direction = camera.direction_through(x, y)
    assert np.linalg.norm(direction) == pytest.approx(1)
    assert camera.pixel_of(direction * along) == pytest.approx((x, y), abs=1e-6)


@untimed
@hypothesis.given(cameras, st.floats(0, 8000), st.floats(0, 8000))
def test_a_ray_ends_on_the_detector_where_its_pixel_is(camera: Camera, x: float, y: float):
    direction = camera.direction_through(x, y)
    end = camera.source_in_detector_m() + direction * camera.source_to_detector_m / direction[2]
    assert end == pytest.approx((*camera.detector_m(x, y), 0.0), abs=1e-9)


def test_pixels_are_counted_from_a_corner_and_by_ros_from_a_centre():
    camera = a_camera()
    assert camera.detector_m(0, 0) == pytest.approx((-0.05, -0.08))
    assert camera.detector_m(1000, 800) == pytest.approx((0.05, 0.08))
    assert ros_px(0.5) == 0.0


def test_a_point_behind_the_tube_is_in_no_pixel():
    with pytest.raises(ValueError, match="behind"):
        a_camera().pixel_of(np.array([0.0, 0.0, -0.1]))


def test_a_mirrored_camera_has_x_against_the_columns():
    camera = a_camera(mirrored=True)
    assert camera.focal_px == pytest.approx((-10_000, 5_000))
    assert camera.direction_through(600, 400)[0] < 0


def test_a_depth_holds_for_both_meanings_of_the_distance_to_the_patient():
    near, far = depth_interval_m(1.1, 0.9)
    assert near <= 0.9 - 0.5 + 1e-9, "the support behind a patient of half a metre"
    assert far == 1.1
    assert depth_interval_m(1.8) == (0.2, 1.8)
    assert plane_interval_m(1.0, 1.25) == pytest.approx((0.75, 0.85))
    assert depth_interval_m(1.0, 0.3)[0] == 0.2


def test_directions_have_the_axes_of_dicoms_patient():
    assert direction_of("L") == pytest.approx((1, 0, 0))
    assert direction_of("F") == pytest.approx((0, 0, -1))
    oblique = direction_of("LP")
    assert 0 < oblique[1] < oblique[0]
    assert beam_of_angles(0, 0) == pytest.approx(direction_of("A")), "the detector lies before the patient"
    assert beam_of_angles(radians(90), 0) == pytest.approx(direction_of("L")), "LAO"
    assert beam_of_angles(0, radians(90)) == pytest.approx(direction_of("H"), abs=1e-12), "cranial"


@pytest.mark.parametrize(
    ("view", "orientation", "found"),
    [
        ("AP", ("L", "F"), "from_tube"),
        ("AP", ("R", "F"), "mirrored"),
        ("AP", ("F", "R"), "from_tube"),
        ("PA", ("L", "F"), "mirrored"),
        ("PA", ("R", "F"), "from_tube"),
        ("LL", ("P", "F"), "mirrored"),
        ("LL", ("A", "F"), "from_tube"),
        ("AP", ("L", "P"), None),
    ],
)
def test_a_view_and_an_orientation_tell_a_mirrored_picture(view, orientation, found):
    beam = beam_of_view(view)
    assert beam is not None
    assert handedness(beam, orientation) == found


@pytest.mark.parametrize("view", [None, "RLO", "LLD"])
def test_an_oblique_or_unknown_view_tells_no_beam(view: str | None):
    assert beam_of_view(view) is None


@untimed
@hypothesis.given(
    st.floats(-pi, pi), st.floats(-1.2, 1.2), st.sampled_from(["LF", "RF", "FL", "AF", "PF", "LH"])
)
def test_axes_at_any_angle_are_those_of_a_frame(primary: float, secondary: float, letters: str):
    found = axes_of_angles(primary, secondary, (letters[0], letters[1]))
    if found:
        frame = np.stack([*found, beam_of_angles(primary, secondary)])
        assert frame @ frame.T == pytest.approx(np.eye(3), abs=1e-9)
        for axis, letter in zip(found, letters, strict=True):
            assert axis @ direction_of(letter) >= 0.5


def placed(primary: float, **changes: object) -> Placed:
    orientation = ("R", "F") if abs(primary) < 0.8 else ("A", "F")
    return Placed(a_camera(), primary, 0.0, 0.6, orientation) if not changes else Placed(**changes)


def test_two_views_of_a_point_meet_in_it():
    front, side = placed(0.0), placed(pi / 2)
    point = np.array([0.01, -0.02, 0.03])
    pixels = [view.camera.pixel_of(view.in_source_m(point)) for view in (front, side)]
    found, residual = common_point_m(front.ray_through(*pixels[0]), side.ray_through(*pixels[1]))
    assert found == pytest.approx(point, abs=1e-9)
    assert residual == pytest.approx(0, abs=1e-9)


def test_rays_that_miss_by_over_ten_millimetres_have_no_common_point():
    x, z = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
    for gap, meets in ((0.0099, True), (0.0101, False)):
        rays = (np.array([-1.0, 0, 0]), x), (np.array([0.0, gap, -1]), z)
        assert nearest_point_m(*rays)[1] == pytest.approx(gap)
        if meets:
            assert common_point_m(*rays)[0] == pytest.approx((0, gap / 2, 0))
        else:
            with pytest.raises(NoCommonPoint, match=r"10\.1 mm"):
                common_point_m(*rays)


def test_parallel_rays_and_rays_that_part_have_no_common_point():
    z, tilted = np.array([0, 0, 1.0]), np.array([0, np.sin(0.2), np.cos(0.2)])
    with pytest.raises(NoCommonPoint, match="parallel"):
        nearest_point_m((np.zeros(3), z), (np.array([0.0, -0.1, 0]), tilted))
    with pytest.raises(NoCommonPoint, match="behind"):
        nearest_point_m((np.zeros(3), z), (np.array([1.0, 0, 1]), np.array([1.0, 0, 0])))


def test_errors_are_carried_over_to_a_sum():
    summed = propagated(lambda v: np.array([v[0] + 2 * v[1], v[2]]), [1, 2, 3], [0.1, 0.2, 0])
    assert summed == pytest.approx(np.array([[0.01 + 0.16, 0], [0, 0]]))
    whole = np.array(pose_covariance(np.eye(3) * 4)).reshape(6, 6)
    assert np.diag(whole) == pytest.approx([4, 4, 4, 1e6, 1e6, 1e6])
