"""The targets of a job over HTTP, from a DICOM file to a state, with real signed reports."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema
import numpy as np
import pytest

from api.identity.key_store import Keys
from jobs.lifecycle.deletion import delete
from jobs.reading.readings import Readings
from jobs.record.job import Job, now
from jobs.store.audit import Audit
from tests import pictures
from tests.api.conftest import RESULT, Api, problem_of
from tests.jobs.reading.signed import amend, claimed, sign

BOX = [60, 30, 20, 16]
SITE = {"box": BOX}
REGION = {"box": BOX, "score": 0.8}
CALIBRATED: dict[str, Any] = {
    "DistanceSourceToDetector": "1000",
    "DistanceSourceToPatient": "950",
    "ImagerPixelSpacing": [0.2, 0.1],
    "ViewPosition": "AP",
    "PatientOrientation": ["L", "F"],
    "BodyPartExamined": "WRIST",
    "PositionerType": "NONE",
}
MEDIA_TYPE = "application/vnd.osteo.targets+json; version=1"


def acquired(age: timedelta = timedelta(seconds=5)) -> dict[str, Any]:
    """Attributes of a picture of this age, from a modality two hours ahead of UTC."""
    local = datetime.now(UTC) - age + timedelta(hours=2)
    return {"AcquisitionDateTime": f"{local:%Y%m%d%H%M%S.%f}", "TimezoneOffsetFromUTC": "+0200"}


def ended(api: Api, data: bytes, regions: tuple[dict, ...] = (REGION,), **result: Any) -> Job:
    """A job of this file, once a model has found these regions."""
    job = api.ledger.read(api.submit(data, "x.dcm").json()["id"])
    found = RESULT | {"regions": list(regions)} | result
    return api.ledger.append(api.ledger.append(job.started("w", now())).succeeded(found, now()))


def targets_of(api: Api, job: Job, query: str = "", **kwargs: Any) -> dict[str, Any]:
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets{query}", **kwargs)
    assert answer.status == 200, answer.data
    assert answer.headers["Content-Type"] == MEDIA_TYPE
    return dict(answer.json())


def signed_by_a_reader(api: Api, job: Job, finding: str = "fracture", sites: tuple = (SITE,)) -> None:
    sign(api.ledger, claimed(api.ledger, job), finding, sites)


def test_a_calibrated_picture_gives_a_ray_and_no_point(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    made = targets_of(api, job)
    (target,) = made["targets"]
    assert (made["state"], made["actionable"], made["sequence"]) == ("advisory", False, 1)
    assert made["blocking_reasons"] == ["not_reviewed"]
    assert made["camera"] | {"principal_sd_px": 0, "source_to_detector_sd_m": 0} == {
        "fx_px": pytest.approx(10_000),
        "fy_px": pytest.approx(5_000),
        "cx_px": 64,
        "cy_px": 48,
        "principal_sd_px": 0,
        "source_to_detector_m": 1.0,
        "source_to_detector_sd_m": 0,
        "spacing_m": [0.0001, 0.0002],
        "mirrored": False,
        "width_px": 128,
        "height_px": 96,
    }
    assert target["box_px"] == BOX
    assert target["box_detector_m"] == pytest.approx([-0.0004, -0.0036, 0.002, 0.0032])
    assert target["class"]["bone"] == {"code": "8205005", "meaning": "Wrist region structure"}
    direction = np.array(target["ray"]["direction"])
    assert direction / direction[2] == pytest.approx([0.0006, -0.002, 1.0])
    assert target["ray"]["depth_m"] == pytest.approx([0.45 / direction[2], 1.0 / direction[2]], abs=1e-6)
    assert target["point_m"] is None
    covariance = np.array(target["covariance"]).reshape(6, 6)
    assert (np.linalg.eigvalsh(covariance) >= -1e-12).all()
    assert covariance[2, 2] == pytest.approx((1.0 - 0.45) ** 2 / 12, rel=1e-3)
    assert covariance[3, 3] == 1e6


def test_a_signed_fresh_calibrated_target_alone_is_actionable(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed_by_a_reader(api, job)
    made = targets_of(api, job)
    assert (made["state"], made["actionable"], made["blocking_reasons"]) == ("reviewed", True, [])
    assert made["sequence"] == 2
    assert made["provenance"]["reading"].startswith("reading_")
    until, since = (datetime.fromisoformat(made[name]) for name in ("valid_until", "acquired_at"))
    assert until - since == timedelta(seconds=300)


@pytest.mark.parametrize(
    ("without", "state", "reason"),
    [
        ("DistanceSourceToDetector", "uncalibrated", "source_distance_unknown"),
        ("ImagerPixelSpacing", "uncalibrated", "spacing_unknown"),
        ("ViewPosition", "uncalibrated", "handedness_unknown"),
        ("PatientOrientation", "uncalibrated", "handedness_unknown"),
        ("TimezoneOffsetFromUTC", "stale", "acquisition_time_unknown"),
        ("AcquisitionDateTime", "stale", "acquisition_time_unknown"),
    ],
)
def test_a_signed_target_without_a_number_is_blocked(api: Api, without: str, state: str, reason: str):
    attributes = {**CALIBRATED, **acquired()}
    del attributes[without]
    job = ended(api, pictures.dicom(pictures.gray(), **attributes))
    signed_by_a_reader(api, job)
    made = targets_of(api, job)
    assert (made["state"], made["actionable"], made["blocking_reasons"]) == (state, False, [reason])
    assert (made["camera"] is None) is (made["targets"][0]["ray"] is None) is (state == "uncalibrated")


@pytest.mark.parametrize(
    ("age", "query", "reason"),
    [
        (timedelta(seconds=301), "", "too_old"),
        (timedelta(seconds=-30), "", "acquired_in_future"),
        (timedelta(seconds=60), "?max_age=30", "older_than_max_age"),
    ],
)
def test_a_signed_target_that_is_not_fresh_is_stale(api: Api, age: timedelta, query: str, reason: str):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired(age)))
    signed_by_a_reader(api, job)
    made = targets_of(api, job, query)
    assert (made["state"], made["actionable"], made["blocking_reasons"]) == ("stale", False, [reason])


def test_a_time_without_a_zone_is_that_of_the_client_s_site(api: Api):
    harbour = replace(api, key=Keys(api.records).create("harbour"))
    tokyo = datetime.now(UTC) - timedelta(seconds=5) + timedelta(hours=9)
    attributes = {**CALIBRATED, "AcquisitionDateTime": f"{tokyo:%Y%m%d%H%M%S.%f}"}
    job = ended(harbour, pictures.dicom(pictures.gray(), **attributes))
    signed_by_a_reader(harbour, job)
    made = targets_of(harbour, job)
    assert (made["state"], made["actionable"]) == ("reviewed", True)
    assert datetime.fromisoformat(made["acquired_at"]) == tokyo - timedelta(hours=9)
    with_its_own = ended(harbour, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed_by_a_reader(harbour, with_its_own)
    assert targets_of(harbour, with_its_own)["actionable"], "a zone in the file goes before"


@pytest.mark.parametrize(
    ("finding", "sites", "state", "reason"),
    [
        ("no_fracture", (), "rejected", "report_rejects"),
        ("fracture", ({"point": [5, 5]},), "rejected", "report_rejects"),
        ("fracture", (), "advisory", "site_not_confirmed"),
        ("fracture", ({"box": [50, 20, 20, 16]},), "advisory", "site_not_confirmed"),
        ("not_sure", (SITE,), "advisory", "report_not_sure"),
        ("not_diagnostic", (), "advisory", "report_not_sure"),
    ],
)
def test_a_report_that_does_not_confirm_blocks(api: Api, finding: str, sites: tuple, state: str, reason: str):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed_by_a_reader(api, job, finding, sites)
    made = targets_of(api, job)
    assert (made["state"], made["actionable"], made["blocking_reasons"]) == (state, False, [reason])


def test_an_amended_report_withdraws_targets_under_the_same_ids(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed_by_a_reader(api, job)
    before = targets_of(api, job)
    (reading,) = Readings(api.ledger).of_job(job.id)
    amend(api.ledger, reading, "fracture")
    after = targets_of(api, job)
    assert (after["state"], after["blocking_reasons"]) == ("withdrawn", ["report_amended"])
    assert [one["id"] for one in after["targets"]] == [one["id"] for one in before["targets"]]
    assert after["sequence"] == before["sequence"] + 1


def test_an_old_report_that_is_amended_withdraws_what_a_new_one_confirmed(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    first = sign(api.ledger, claimed(api.ledger, job), sites=[SITE])
    sign(api.ledger, claimed(api.ledger, job, arbitrates=first), sites=[SITE])
    assert targets_of(api, job)["actionable"]
    amend(api.ledger, first, "no_fracture")
    assert targets_of(api, job)["state"] == "withdrawn"


def test_an_open_arbitration_blocks_until_it_is_signed(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    first = sign(api.ledger, claimed(api.ledger, job), sites=[SITE])
    second = claimed(api.ledger, job, arbitrates=first)
    assert targets_of(api, job)["blocking_reasons"] == ["arbitration_open"]
    sign(api.ledger, second, "no_fracture")
    assert targets_of(api, job)["state"] == "rejected"


@pytest.mark.parametrize("ended_by", ["returned", "canceled", "never requested"])
def test_an_arbitration_that_is_not_signed_decides_nothing(api: Api, ended_by: str):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    first = sign(api.ledger, claimed(api.ledger, job), sites=[SITE], grade="3a")
    if ended_by != "never requested":
        second = claimed(api.ledger, job, arbitrates=first)
        Readings(api.ledger).save(
            second,
            lambda reading: (
                reading.canceled(now())
                if ended_by == "canceled"
                else reading.returned_for("wrong_side", "", now())
            ),
        )
    made = targets_of(api, job)
    assert (made["actionable"], made["blocking_reasons"]) == (False, ["arbitration_open"])


def test_a_job_without_a_fracture_has_no_targets(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED), (), finding="no_fracture")
    made = targets_of(api, job)
    assert (made["state"], made["targets"], made["blocking_reasons"]) == ("no_finding", [], ["nothing_found"])


def test_a_picture_that_is_no_dicom_has_boxes_alone(api: Api):
    job = ended(api, pictures.encoded(pictures.gray()))
    made = targets_of(api, job)
    assert made["state"] == "uncalibrated"
    assert made["targets"][0]["box_px"] == BOX
    assert made["acquired_at"] is made["valid_until"] is made["camera"] is None


def test_a_mirrored_picture_keeps_its_frames_right_handed(api: Api):
    attributes = {**CALIBRATED, **acquired(), "ViewPosition": "PA"}
    made = targets_of(api, ended(api, pictures.dicom(pictures.gray(), **attributes)))
    assert made["camera"]["mirrored"] is True
    assert made["camera"]["fx_px"] == pytest.approx(-10_000)
    (target,) = made["targets"]
    direction = np.array(target["ray"]["direction"])
    assert direction / direction[2] == pytest.approx([-0.0006, -0.002, 1.0])
    assert target["box_detector_m"] == pytest.approx([-0.0016, -0.0036, 0.002, 0.0032])


def test_a_calibrated_plane_gives_a_point(api: Api):
    attributes = {**CALIBRATED, **acquired(), "PixelSpacing": [0.16, 0.08]}
    (target,) = targets_of(api, ended(api, pictures.dicom(pictures.gray(), **attributes)))["targets"]
    assert target["point_from"] == "calibrated_plane"
    assert target["point_m"] == pytest.approx([0.00048, -0.0016, 0.8])


def test_a_magnification_of_one_is_unknown(api: Api):
    same = {**CALIBRATED, **acquired(), "PixelSpacing": CALIBRATED["ImagerPixelSpacing"]}
    (target,) = targets_of(api, ended(api, pictures.dicom(pictures.gray(), **same)))["targets"]
    assert (target["point_from"], target["point_m"]) == (None, None)
    estimated = {name: value for name, value in same.items() if name != "ImagerPixelSpacing"}
    estimated |= {"EstimatedRadiographicMagnificationFactor": 1.0}
    made = targets_of(api, ended(api, pictures.dicom(pictures.gray(), **estimated)))
    assert "spacing_unknown" in made["blocking_reasons"]


def test_targets_match_the_schema_that_they_link_to(api: Api):
    schema = api.request("GET", "/schemas/targets-1.json", key="").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()), (REGION, REGION))
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets")
    assert answer.headers["Link"] == f'<{schema["$id"]}>; rel="describedby"'
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    checker.validate(answer.json())
    checker.validate(targets_of(api, ended(api, pictures.encoded(pictures.gray()))))
    assert not checker.is_valid(answer.json() | {"state": "go"})


def test_lengths_are_named_with_their_units(api: Api):
    schema = api.request("GET", "/schemas/targets-1.json", key="").json()

    def numbers(part: Any, name: str = "") -> set[str]:
        if isinstance(part, list):
            return set().union(*(numbers(item, name) for item in part))
        if not isinstance(part, dict):
            return set()
        own = {name} if part.get("type") in ("number", ["number", "null"]) else set()
        inner = [numbers(item, key) for key, item in part.get("properties", {}).items()]
        items = [numbers(part["items"], name)] if "items" in part else []
        named = [numbers(item) for item in part.get("$defs", {}).values()]
        return own.union(*inner, *items, *named)

    without = {name for name in numbers(schema) if not name.endswith(("_m", "_px", "_s"))}
    # Lengths stand beside numbers without a unit in a covariance and in a 4 x 4 matrix.
    assert without == {"score", "direction", "covariance", "source_from_patient"}


def test_a_repeated_request_gets_304_until_the_state_changes(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    tag = api.request("GET", f"/v1/jobs/{job.id}/targets").headers["ETag"]

    def again() -> int:
        headers = {"If-None-Match": tag}
        return api.request("GET", f"/v1/jobs/{job.id}/targets", headers=headers).status

    assert again() == 304
    signed_by_a_reader(api, job)
    assert again() == 200


@pytest.mark.parametrize("max_age", ["0", "-1", "nan", "soon", "1e9"])
def test_a_max_age_that_is_none_is_refused(api: Api, max_age: str):
    job = ended(api, pictures.encoded(pictures.gray()))
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets?max_age={max_age}")
    assert problem_of(answer)["type"] == "/problems/malformed"


def test_a_job_without_a_result_or_deleted_has_no_targets(api: Api):
    waiting = api.submit(pictures.encoded(pictures.gray())).json()["id"]
    assert problem_of(api.request("GET", f"/v1/jobs/{waiting}/targets"))["type"] == "/problems/not-ready"
    job = ended(api, pictures.encoded(pictures.gray()))
    delete(job.id, api.ledger)
    assert problem_of(api.request("GET", f"/v1/jobs/{job.id}/targets"))["type"] == "/problems/gone"


def test_another_client_gets_no_targets(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    other = Keys(api.records).create("another")
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets", key=other)
    assert problem_of(answer)["type"] == "/problems/no-such-job"


def test_a_read_of_targets_is_in_the_audit_log(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    targets_of(api, job)
    audit = Audit(api.objects, api.redis)
    audit.carry_over()
    entries = list(audit.entries(now() - timedelta(minutes=5)))
    assert ("getTargets", job.id) in {(entry["action"], entry["subject"]) for entry in entries}
