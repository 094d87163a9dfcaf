"""`/v1/jobs/{id}/registration` by corners: the pose, its errors, what is refused, and what is kept."""

import json
import math
from typing import Any

import numpy as np
import pytest
import urllib3

from api.http.problem import Problem
from api.identity.key_store import Keys
from api.routes.job_answers import forget_if_deleted
from jobs.geometry.marker_sheet import SECOND_LEFT_MM, SECOND_MM, second_bottom_mm
from jobs.record.job import Job, now
from jobs.store.audit import Audit
from jobs.store.registrations import BY_CAMERA, Registrations
from tests.api.ar.conftest import radiograph, succeeded
from tests.api.ar.photographs import CAMERA, FACING, SIZE, Scene, drawn_scene, turned
from tests.api.conftest import Api, problem_of

SCENE = drawn_scene(1)
FAR = Scene(turned(np.array([0.3, 0.2, 0])) @ FACING, np.array([0.1, 0.05, 2.5]))
"""So far away that its tilt could be the other way round."""


@pytest.fixture
def job(api: Api) -> Job:
    return succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]))


def order(scene: Scene = SCENE, **changed: Any) -> dict[str, Any]:
    return {"marker_mm": scene.size_mm, "corners_px": scene.corners_px().tolist(), **CAMERA, **changed}


def second_corners(scene: Scene, bent_mm: float = 0.0) -> list[list[float]]:
    """The pixels that show the second tag of the sheet, or one that is `bent_mm` beside its place."""
    left, bottom = SECOND_LEFT_MM + bent_mm, second_bottom_mm(scene.size_mm)
    right, top = left + SECOND_MM, bottom + SECOND_MM
    corners_mm = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return list(scene.pixels_of(corners_mm / 1000).tolist())


def register(api: Api, job: Job, given: Any, key: str | None = None) -> urllib3.BaseHTTPResponse:
    body = given if isinstance(given, bytes) else json.dumps(given).encode()
    headers = {"Content-Type": "application/json"}
    return api.request("POST", f"/v1/jobs/{job.id}/registration", key, headers, body=body)


def shown(api: Api, job: Job, key: str | None = None) -> urllib3.BaseHTTPResponse:
    return api.request("GET", f"/v1/jobs/{job.id}/registration", key)


def refused(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    problem = problem_of(answer)
    return problem["status"], problem["type"].removeprefix("/problems/")


def kept(api: Api, job: Job) -> set[str]:
    return {key for key in api.traces() if key.startswith(f"jobs/{job.id}/registration")}


def away_from(scene: Scene, placement: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """By how much a placement misses the scene: along and about the axes of the camera."""
    matrix = np.array(placement["camera_from_marker"])
    turn = scene.rotation @ matrix[:3, :3].T
    about = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    return matrix[:3, 3] - scene.translation_m, about


def test_corners_give_the_pose_of_the_marker_in_metres(api: Api, job: Job):
    answer = register(api, job, order())
    assert answer.status == 200
    found = answer.json()
    for misses in away_from(SCENE, found):
        assert np.abs(misses).max() < 1e-6
    assert found["camera_from_marker"][3] == [0, 0, 0, 1]
    assert found["reprojection_px"] < 1e-3
    assert all(0 < sigma < 0.05 for sigma in found["sigma_m"] + found["sigma_rad"])
    assert (found["job"], found["source"], found["alternative"]) == (job.id, "corners", None)
    assert (found["size_check"], found["ruler_mm"], found["camera"]) == (None, None, CAMERA)


def test_a_field_of_view_stands_for_the_numbers_of_the_camera(api: Api, job: Job):
    width, height = SIZE
    angle = math.degrees(2 * math.atan(width / 2 / CAMERA["fx_px"]))
    sized = order(horizontal_fov_deg=angle, width_px=width, height_px=height)
    given = {name: value for name, value in sized.items() if name not in CAMERA}
    found = register(api, job, given).json()
    assert found["camera"] == pytest.approx(CAMERA)
    for misses in away_from(SCENE, found):
        assert np.abs(misses).max() < 1e-6


@pytest.mark.parametrize(
    ("left_out", "added"),
    [
        (("fy_px",), {}),
        ((), {"horizontal_fov_deg": 60, "width_px": 960, "height_px": 720}),
        (tuple(CAMERA), {}),
        (tuple(CAMERA), {"horizontal_fov_deg": 60}),
        (("marker_mm",), {}),
        (("corners_px",), {}),
        ((), {"corners_px": [[1, 2], [3, 4], [5, 6]]}),
        ((), {"corners_px": [[1, 2, 3]] * 4}),
        ((), {"corners_px": [[1e6, 0], [1, 0], [1, 1], [0, 1]]}),
        ((), {"fx_px": -900}),
        ((), {"fx_px": "900"}),
        ((), {"marker_mm": 0}),
        ((), {"colour": "red"}),
    ],
)
def test_an_order_in_part_or_out_of_bounds_is_malformed(
    api: Api, job: Job, left_out: tuple[str, ...], added: dict[str, Any]
):
    given = {name: value for name, value in order(**added).items() if name not in left_out}
    assert refused(register(api, job, given)) == (400, "malformed")
    assert not kept(api, job)


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_corner_that_is_no_number_is_malformed(api: Api, job: Job, number: str):
    text = json.dumps(order()).replace(json.dumps(order()["corners_px"][0][0]), number, 1)
    assert refused(register(api, job, text.encode())) == (400, "malformed")
    assert not kept(api, job)


UPPER_LEFT, UPPER_RIGHT, LOWER_RIGHT, LOWER_LEFT = SCENE.corners_px().tolist()


@pytest.mark.parametrize(
    "corners",
    [
        [UPPER_LEFT, LOWER_LEFT, LOWER_RIGHT, UPPER_RIGHT],
        [UPPER_LEFT, UPPER_RIGHT, LOWER_LEFT, LOWER_RIGHT],
        [UPPER_LEFT] * 4,
        [UPPER_LEFT, UPPER_RIGHT, UPPER_RIGHT, LOWER_LEFT],
        [[100, 100], [200, 100], [300, 100], [400, 100]],
        [[100, 100], [300, 100], [200, 101], [100, 300]],
        [[100, 100], [104, 100], [104, 104], [100, 104]],
        [[0, 0], [100_000, 0], [100_000, 1], [0, 1]],
    ],
    ids=["counter-clockwise", "crossed", "one-point", "three", "a-line", "a-dent", "tiny", "a-needle"],
)
def test_corners_of_no_square_from_the_front_are_refused(api: Api, job: Job, corners: list[list[float]]):
    answer = register(api, job, order(corners_px=corners))
    assert refused(answer) == (422, "registration-refused")
    assert not kept(api, job)


def test_corners_more_than_a_pixel_off_are_refused_and_say_so(api: Api, job: Job):
    moved = np.array(order()["corners_px"])
    moved[2] += [6, 4]
    problem = problem_of(register(api, job, order(corners_px=moved.tolist())))
    assert problem["type"] == "/problems/registration-refused"
    assert problem["reprojection_px"] > 1
    assert not kept(api, job)


def test_a_pose_that_two_tilts_explain_is_answered_with_both(api: Api, job: Job):
    noise = np.random.default_rng(3).normal(size=(4, 2)) * 0.2
    found = register(api, job, order(FAR, corners_px=(FAR.corners_px() + noise).tolist())).json()
    other = found["alternative"]
    assert other is not None
    turns = [np.array(placement["camera_from_marker"])[:3, :3] for placement in (found, other)]
    assert np.linalg.norm(turns[0] - turns[1]) > 0.1
    assert found["reprojection_px"] <= other["reprojection_px"] <= 1
    misses, about = min((away_from(FAR, one) for one in (found, other)), key=lambda two: abs(two[1]).max())
    assert (np.abs(misses) < 3 * np.array(found["sigma_m"])).all()
    assert np.abs(about).max() < 0.3


def test_errors_grow_with_the_distance_and_shrink_with_the_ruler(api: Api, job: Job):
    def sigma_m(scene: Scene, **more: Any) -> list[float]:
        return list(register(api, job, order(scene, **more)).json()["sigma_m"])

    far = Scene(SCENE.rotation, SCENE.translation_m * 2)
    near, further, measured = sigma_m(SCENE), sigma_m(far), sigma_m(SCENE, ruler_mm=100)
    assert all(b > a > c for a, b, c in zip(near, further, measured, strict=True))


def test_a_print_whose_ruler_is_not_100_mm_long_is_refused(api: Api, job: Job):
    for ruler_mm in (97, 101.5):
        answer = register(api, job, order(ruler_mm=ruler_mm))
        assert refused(answer) == (422, "registration-refused")
        assert "100 %" in problem_of(answer)["detail"]
    assert not kept(api, job)


def test_a_print_within_its_bounds_is_taken_in_its_measured_size(api: Api, job: Job):
    found = register(api, job, order(ruler_mm=99.5)).json()
    matrix = np.array(found["camera_from_marker"])
    assert np.abs(matrix[:3, 3] - 0.995 * SCENE.translation_m).max() < 1e-7


def test_a_wrong_marker_size_fails_the_check_by_the_second_tag(api: Api, job: Job):
    seen = order(second_corners_px=second_corners(SCENE))
    found = register(api, job, seen).json()
    assert found["size_check"]["marker_mm"] == pytest.approx(50, abs=0.01)
    assert 0 < found["size_check"]["sigma_mm"] < 2
    for misses in away_from(SCENE, found):
        assert np.abs(misses).max() < 1e-6
    for stated in (40, 45, 60, 80):
        answer = register(api, job, seen | {"marker_mm": stated})
        assert refused(answer) == (422, "registration-refused")
        assert "shows a marker of 50.0 mm" in problem_of(answer)["detail"]
    assert shown(api, job).json() == found


def test_a_second_tag_out_of_its_place_is_refused(api: Api, job: Job):
    given = order(second_corners_px=second_corners(SCENE, bent_mm=4))
    assert refused(register(api, job, given)) == (422, "registration-refused")


def test_the_second_tag_makes_the_errors_smaller(api: Api, job: Job):
    alone = register(api, job, order(ruler_mm=100)).json()
    both = register(api, job, order(ruler_mm=100, second_corners_px=second_corners(SCENE))).json()
    for name in ("sigma_m", "sigma_rad"):
        assert all(b < a for a, b in zip(alone[name], both[name], strict=True)), name


def test_what_was_registered_last_is_answered_and_lists_its_time(api: Api, job: Job):
    assert refused(shown(api, job)) == (404, "no-such-registration")
    first = register(api, job, order()).json()
    assert shown(api, job).json() == first
    last = register(api, job, order(FAR)).json()
    assert shown(api, job).json() == last
    assert last["at"] >= first["at"]


def test_the_same_registration_again_changes_nothing(api: Api, job: Job):
    first, before = register(api, job, order()).json(), kept(api, job)
    assert register(api, job, order()).json() == first
    assert kept(api, job) == before
    assert len(before) == 1


def test_a_registration_goes_with_its_job(api: Api, job: Job):
    assert register(api, job, order()).status == 200
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert not kept(api, job)
    assert refused(shown(api, job)) == (410, "gone")
    assert refused(register(api, job, order())) == (410, "gone")
    assert not kept(api, job)


def test_a_registration_written_after_the_deletion_is_erased(api: Api, job: Job):
    late = Registrations(api.records, BY_CAMERA)
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    late.put(job.id, {"marker_mm": 50.0}, now())
    with pytest.raises(Problem) as raised:
        forget_if_deleted(job.id, api.ledger, late.forget)
    assert raised.value.status == 410
    assert not kept(api, job)


def test_another_client_registers_and_sees_nothing(api: Api, job: Job):
    assert register(api, job, order()).status == 200
    stranger = Keys(api.records).create("stranger")
    assert refused(register(api, job, order(FAR), key=stranger)) == (404, "no-such-job")
    assert refused(shown(api, job, key=stranger)) == (404, "no-such-job")
    assert shown(api, job).json()["marker_mm"] == 50


def test_who_registered_is_in_the_audit_log(api: Api, job: Job):
    since = now()
    assert register(api, job, order()).status == 200
    assert shown(api, job).status == 200
    audit = Audit(api.objects, api.redis)
    audit.carry_over()
    entries = [entry for entry in audit.entries(since) if entry["subject"] == job.id]
    acts = {(entry["client"], entry["action"], entry["status"]) for entry in entries}
    assert {("clinic", "registerMarker", 200), ("clinic", "getRegistration", 200)} <= acts
