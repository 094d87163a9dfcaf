"""`/v1/jobs/{id}/film`: lead tags in a radiograph give the frame `patient`, or are refused in words."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import urllib3
from imagecodecs import jpegls_encode
from pydicom.uid import JPEGLSLossless

from api.ar.film_registration import film_registration_of
from api.identity.key_store import Keys
from jobs.geometry.uncertainty import DISTANCE_PART
from jobs.record.job import ImageFacts, Job, now
from jobs.store.audit import Audit
from jobs.targets.document import targets_document
from jobs.targets.freshness import freshness_of
from jobs.targets.patient import sheet_points_mm
from jobs.targets.review import Review
from model.decode.april_tags import find_lead_tags
from tests import pictures
from tests.api.ar.conftest import succeeded
from tests.api.ar.lead_sheets import (
    HEADER,
    MIRRORED,
    NOMINAL,
    SIDE_PX,
    LeadSheet,
    drawn_sheet,
    radiograph_of,
)
from tests.api.ar.peers import needs_package
from tests.api.ar.photographs import FACING, drawn_scene, turned
from tests.api.ar.test_registration import order, refused, register, second_corners
from tests.api.conftest import Api, problem_of
from tests.api.results.test_recording import decoded, recorded
from tests.conftest import a_job

pytestmark = needs_package("pypdfium2", "pyapriltags")
AT = replace(drawn_sheet(3), camera=NOMINAL)
BACK = replace(drawn_sheet(3, back=True), camera=NOMINAL)
BALL_M = np.array([0.01, -0.03, -0.06])
"""A place in the frame `patient`, below the sheet."""


def submitted(api: Api, at: LeadSheet = AT, flip: bool = False, **header: Any) -> Job:
    """A job of a radiograph with the sheet, with one region around the ball."""
    picture = radiograph_of(at)
    box = box_of(at, BALL_M)
    shown = picture[:, ::-1] if flip else picture
    # Eight bits, and compressed: this service takes files of 400,000 bytes.
    frame = jpegls_encode(np.ascontiguousarray(shown))
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    data = pictures.dicom(shown, codestream=frame, syntax=JPEGLSLossless, **(bits | HEADER | header))
    return succeeded(api, data, {"regions": [{"box": box, "score": 0.8}]})


def box_of(at: LeadSheet, place_m: np.ndarray) -> list[int]:
    x, y = at.camera.pixel_of(at.in_source_m(place_m[None])[0])
    return [round(x) - 6, round(y) - 6, 12, 12]


def film(api: Api, job: Job, **given: Any) -> urllib3.BaseHTTPResponse:
    body = json.dumps({"marker_mm": 50, "ruler_mm": 100} | given).encode()
    headers = {"Content-Type": "application/json"}
    return api.request("POST", f"/v1/jobs/{job.id}/film", headers=headers, body=body)


def targets(api: Api, job: Job) -> dict[str, Any]:
    return dict(api.request("GET", f"/v1/jobs/{job.id}/targets").json())


def misses(at: LeadSheet, found: dict[str, Any]) -> np.ndarray:
    """By how much a pose misses the sheet: along and about the axes of `source`."""
    matrix = np.array(found["source_from_marker"])
    turn = at.rotation @ matrix[:3, :3].T
    about = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]) / 2
    return np.array([*(matrix[:3, 3] - at.translation_m), *about])


@pytest.mark.parametrize(
    ("at", "flip", "header", "faces"),
    [(AT, False, HEADER, "tube"), (BACK, False, HEADER, "detector")],
    ids=["face to the tube", "face to the detector"],
)
def test_lead_tags_in_a_radiograph_give_the_place_of_their_sheet(
    api: Api, at: LeadSheet, flip: bool, header: dict[str, Any], faces: str
):
    job = submitted(api, at, flip, **header)
    answer = film(api, job)
    assert answer.status == 200, answer.data
    found = answer.json()
    assert (found["source"], found["faces"]) == ("radiograph", faces)
    assert (np.abs(misses(at, found)) < 3 * np.array(found["sigma_m"] + found["sigma_rad"])).all()
    assert found["reprojection_px"] < 0.5
    assert api.request("GET", f"/v1/jobs/{job.id}/film").json() == found


def test_a_mirrored_picture_gives_the_same_place_of_the_sheet(api: Api):
    job = submitted(api, AT, flip=True, **MIRRORED)
    found = film(api, job).json()
    assert found["faces"] == "tube"
    assert (np.abs(misses(AT, found)) < 3 * np.array(found["sigma_m"] + found["sigma_rad"])).all()


def test_targets_get_the_frame_patient_and_stay_not_actionable(api: Api):
    job = submitted(api)
    before = targets(api, job)
    assert (before["frames"]["patient"], before["registration"]) == (None, None)
    assert before["targets"][0]["in_patient"] is None
    found = film(api, job).json()
    made = targets(api, job)
    assert made["frames"]["patient"] == f"osteo/{job.id}/patient"
    assert made["registration"]["source_from_patient"] == found["source_from_marker"]
    assert made["registration"]["registered_at"] == found["at"]
    assert (made["actionable"], made["state"]) == (False, before["state"])
    (target,) = made["targets"]
    ray, matrix = target["in_patient"]["ray"], np.array(found["source_from_marker"])
    back = np.linalg.inv(matrix)
    assert ray["frame_id"] == made["frames"]["patient"]
    assert ray["origin_m"] == pytest.approx(back[:3, 3], abs=1e-5)
    assert ray["direction"] == pytest.approx(back[:3, :3] @ target["ray"]["direction"], abs=1e-6)
    off = BALL_M - ray["origin_m"]
    assert np.linalg.norm(np.cross(off, ray["direction"])) < 0.002


@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.long)])
def test_places_in_the_patient_lie_within_three_of_their_sigmas(count: int):
    poses, places, seen, ambiguous, tight = 0, 0, 0, 0, []
    for seed in range(count):
        at = drawn_sheet(seed, back=seed % 2 == 1)
        corners = {
            number: np.array(found) for number, found in find_lead_tags(radiograph_of(at, seed), (7, 8))
        }
        if corners.keys() != {7, 8}:
            continue
        seen += 1
        given = {"marker_mm": 50, "ruler_mm": 100}
        found = film_registration_of(given, NOMINAL, "radiograph", corners[7], corners[8])
        if found["alternative"]:
            ambiguous += 1
            continue
        off = misses(at, found)
        poses += bool((np.abs(off) < 3 * np.array(found["sigma_m"] + found["sigma_rad"])).all())
        rng = np.random.default_rng(seed)
        ball_m = np.array([*rng.uniform(-0.04, 0.04, 2), -0.05])
        kept = found | {"at": "2026-11-23T12:00:02Z", "revision": 1}
        (target,) = targets_document(
            _job_of(box_of(at, ball_m)), Review(), freshness_of(_job_of([0, 0, 9, 9]), 0, 300), (), kept
        )["targets"]
        placed = target["in_patient"]
        assert placed
        # Across the ray: along it the depth is all but unknown, and would hide any error.
        direction = np.array(placed["ray"]["direction"])
        across = np.linalg.svd(direction[None])[2][1:]
        miss = across @ (ball_m - np.array(placed["ray"]["origin_m"]))
        middle_m = sum(placed["ray"]["depth_m"]) / 2
        covariance = np.array(placed["covariance"]).reshape(6, 6)[:3, :3]
        whole = ball_m - (np.array(placed["ray"]["origin_m"]) + middle_m * direction)
        places += bool(np.sqrt(whole @ np.linalg.solve(covariance, whole)) <= 3)
        tight.append(float(np.linalg.norm(miss)))
    assert seen >= 0.95 * count
    assert ambiguous <= 0.05 * seen
    assert poses >= 0.95 * (seen - ambiguous)
    assert places >= 0.95 * (seen - ambiguous)
    assert np.median(tight) < 0.004, "the ray passes by the ball"


def _job_of(box: list[int]) -> Job:
    geometry = {"source_to_detector_m": 1.1, "detector_spacing_m": [0.0004, 0.0004]}
    job = a_job(
        image=ImageFacts("0" * 64, SIDE_PX, SIDE_PX, "DICOM", 5),
        acquisition={"orientation": ["L", "F"], "view": "AP", "geometry": geometry},
    )
    result = {
        "finding": "fracture",
        "probability": 0.9,
        "regions": [{"box": box, "score": 0.9}],
        "model": {"name": "m", "version": "1", "sha256": "f" * 64},
    }
    return job.started("w", now()).succeeded(result, now())


def corners_of(at: LeadSheet, second_off_mm: float = 0.0) -> dict[str, Any]:
    points = sheet_points_mm(50)
    points[4:, 0] += second_off_mm
    pixels = at.pixels_of(points / 1000)
    return {"corners_px": pixels[:4].tolist(), "second_corners_px": pixels[4:].tolist()}


def test_corners_that_a_client_has_found_give_the_exact_place(api: Api):
    found = film(api, submitted(api), **corners_of(AT)).json()
    assert found["source"] == "corners"
    assert np.abs(misses(AT, found)).max() < 1e-6
    assert found["sigma_m"][2] > AT.translation_m[2] * DISTANCE_PART / 2


TINY = [[300, 300], [305, 300], [305, 305], [300, 305]]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"marker_mm": 40}, "`marker_mm` says 40"),
        ({"ruler_mm": 97}, "has scaled the sheet"),
        (corners_of(AT, second_off_mm=2), "not as far apart as on the sheet"),
        ({"corners_px": TINY, "second_corners_px": TINY}, "less than 8 pixels. Take a larger sheet."),
        (
            corners_of(AT) | {"second_corners_px": corners_of(AT)["second_corners_px"][::-1]},
            "contradict each other",
        ),
    ],
    ids=["size", "ruler", "distance", "too small", "one of them mirrored"],
)
def test_tags_that_contradict_each_other_are_refused_in_words(api: Api, given: dict[str, Any], says: str):
    job = submitted(api)
    answer = film(api, job, **given)
    assert refused(answer) == (422, "registration-refused")
    assert says in problem_of(answer)["detail"]
    assert targets(api, job)["frames"]["patient"] is None


@pytest.mark.parametrize(
    ("spacing", "says"), [(0.25, "smaller than they are"), (2.5, "far larger than they are")]
)
def test_tags_that_contradict_the_spacing_are_refused_in_words(api: Api, spacing: float, says: str):
    answer = film(api, submitted(api, ImagerPixelSpacing=[spacing, spacing]))
    assert refused(answer) == (422, "registration-refused")
    assert "contradict the spacing" in problem_of(answer)["detail"]
    assert says in problem_of(answer)["detail"]


def test_a_radiograph_without_a_geometry_says_what_is_missing(api: Api):
    answer = film(api, submitted(api, DistanceSourceToDetector=None))
    assert refused(answer) == (422, "registration-refused")
    assert problem_of(answer)["blocking_reasons"] == ["source_distance_unknown"]


def test_a_radiograph_without_tags_is_refused_and_keeps_nothing(api: Api):
    plain = np.full((SIDE_PX // 2, SIDE_PX // 2), 100, np.uint8)
    blank = succeeded(api, pictures.dicom(plain, **HEADER))
    assert refused(film(api, blank)) == (422, "marker-not-found")
    assert refused(api.request("GET", f"/v1/jobs/{blank.id}/film")) == (404, "no-such-registration")
    assert refused(film(api, blank, corners_px=[[1, 1]] * 4)) == (400, "malformed")


def two_poses() -> dict[str, Any]:
    """Corners of a sheet that is all but frontal, with noise by which it may be tilted either way."""
    rotation = turned(np.radians(7) * np.array([0.6, 0.8, 0])) @ FACING
    middle = rotation[:, :2] @ np.array([0.025, -0.027])
    at = LeadSheet(rotation, np.array([0, 0, 0.9]) - middle)
    pixels = at.pixels_of(sheet_points_mm(50) / 1000) + np.random.default_rng(142).normal(0, 0.4, (8, 2))
    return {"corners_px": pixels[:4].tolist(), "second_corners_px": pixels[4:].tolist()}


def test_nothing_is_placed_by_one_of_two_poses(api: Api):
    job = submitted(api)
    assert film(api, job).json()["alternative"] is None
    assert targets(api, job)["frames"]["patient"]
    found = film(api, job, **two_poses()).json()
    turns = [np.array(one["source_from_marker"])[:3, :3] for one in (found, found["alternative"])]
    assert np.linalg.norm(turns[0] - turns[1]) > 0.1
    made = targets(api, job)
    assert (made["frames"]["patient"], made["registration"], made["targets"][0]["in_patient"]) == (None,) * 3


def test_each_registration_that_differs_raises_the_sequence(api: Api):
    job, at = submitted(api), []
    for given in ({}, corners_of(AT), corners_of(AT), {}):
        at.append(film(api, job, **given).json()["at"])
    assert targets(api, job)["sequence"] == 4
    assert at[1] == at[2]


def test_a_recording_has_the_frame_patient_below_source(api: Api):
    job = submitted(api)
    found = film(api, job, **corners_of(AT)).json()
    frames = targets(api, job)["frames"]
    to_detector, to_patient = decoded(recorded(api, job))["/tf_static"].transforms
    assert to_detector.child_frame_id == frames["detector"]
    assert (to_patient.header.frame_id, to_patient.child_frame_id) == (frames["source"], frames["patient"])
    moved, turn = to_patient.transform.translation, to_patient.transform.rotation
    matrix = np.array(found["source_from_marker"])
    assert [moved.x, moved.y, moved.z] == pytest.approx(matrix[:3, 3])
    # What a quaternion does to a vector, by its definition.
    imaginary, point = np.array([turn.x, turn.y, turn.z]), np.array([0.3, -0.2, 0.7])
    twice = 2 * np.cross(imaginary, point)
    assert point + turn.w * twice + np.cross(imaginary, twice) == pytest.approx(matrix[:3, :3] @ point)


def test_a_photograph_of_the_same_sheet_places_the_tube_before_the_camera(api: Api):
    job, scene = submitted(api), drawn_scene(1)
    assert film(api, job, **corners_of(AT)).json()["camera_from_source"] is None
    assert (
        register(api, job, order(scene, ruler_mm=100, second_corners_px=second_corners(scene))).status == 200
    )
    made = api.request("GET", f"/v1/jobs/{job.id}/film").json()["camera_from_source"]
    source_in_marker = -AT.rotation.T @ AT.translation_m
    expected = scene.rotation @ source_in_marker + scene.translation_m
    assert np.array(made["matrix"])[:3, 3] == pytest.approx(expected, abs=1e-4)
    assert (np.array(made["sigma_m"]) > 0.001).all(), "a turn of the sheet moves the tube, a metre away"
    # Another sheet before the camera says nothing of this one.
    assert register(api, job, order(replace(scene, size_mm=60))).status == 200
    assert api.request("GET", f"/v1/jobs/{job.id}/film").json()["camera_from_source"] is None


def test_a_registration_in_a_radiograph_goes_with_its_job(api: Api):
    job = submitted(api)
    assert film(api, job).status == 200
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert not {key for key in api.traces() if key.startswith(f"jobs/{job.id}/film")}
    assert refused(film(api, job)) == (410, "gone")


def test_another_client_registers_no_sheet_and_sees_none(api: Api):
    job, stranger = submitted(api), Keys(api.records).create("stranger")
    assert film(api, job).status == 200
    body = json.dumps({"marker_mm": 40}).encode()
    headers = {"Content-Type": "application/json"}
    for method, sent in (("POST", body), ("GET", None)):
        path = f"/v1/jobs/{job.id}/film"
        answer = api.request(method, path, headers=headers, body=sent, key=stranger)
        assert refused(answer) == (404, "no-such-job")
    assert api.request("GET", f"/v1/jobs/{job.id}/film").json()["marker_mm"] == 50


def test_who_registered_a_sheet_is_in_the_audit_log(api: Api):
    job, since = submitted(api), now()
    assert film(api, job, **corners_of(AT)).status == 200
    assert api.request("GET", f"/v1/jobs/{job.id}/film").status == 200
    audit = Audit(api.objects, api.redis)
    audit.carry_over()
    entries = [entry for entry in audit.entries(since) if entry["subject"] == job.id]
    acts = {(entry["client"], entry["action"], entry["status"]) for entry in entries}
    assert {("clinic", "registerFilm", 200), ("clinic", "getFilmRegistration", 200)} <= acts
