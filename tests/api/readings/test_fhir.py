"""The FHIR Bundle of a reading: valid in every state, who said what, and nothing of a hidden answer."""

import json
from base64 import b64decode
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest
from fhir.resources.R4B.bundle import Bundle as BundleOfR4B
from fhirclient.models.bundle import Bundle as BundleOfR4

from api.readings import fhir
from api.readings.fhir import Seen
from api.readings.signature import digest_of
from jobs.reading.reading import Reading
from jobs.record.job import Job, moment_text, now
from tests.api.readings import signed_readings
from tests.results import RESULT, succeeded_job

SYSTEM = "https://osteo.example"
LINKS = {"image": f"{SYSTEM}/v1/jobs/j/image", "heatmap": f"{SYSTEM}/v1/jobs/j/heatmap"}
JOB = succeeded_job()
WAITING = signed_readings.a_reading(JOB)
SIGNED = signed_readings.signed(WAITING, JOB)
STATES = {
    "requested": (WAITING, "active", "requested"),
    "claimed": (signed_readings.claimed(WAITING), "active", "accepted"),
    "drafted": (signed_readings.claimed(WAITING).drafted({"text": "In"}, now()), "active", "in-progress"),
    "committed": (signed_readings.committed(WAITING), "active", "in-progress"),
    "signed": (SIGNED, "completed", "completed"),
    "amended": (signed_readings.amended(SIGNED, JOB), "completed", "completed"),
    "measured": (
        signed_readings.signed(WAITING, JOB, signed_readings.with_measurements(JOB)),
        "completed",
        "completed",
    ),
    "returned": (
        signed_readings.claimed(WAITING).returned_for("other_view", "Lateral.", now()),
        "revoked",
        "rejected",
    ),
    "canceled": (WAITING.canceled(now()), "revoked", "cancelled"),
    "canceled, claimed": (signed_readings.claimed(WAITING).canceled(now()), "revoked", "cancelled"),
    "expired": (WAITING.expired(now()), "revoked", "failed"),
}
FINDINGS = ("fracture", "no_fracture", "not_sure", "not_diagnostic")


def made(reading: Reading, job: Job = JOB, seen: Seen | None = None, transaction: bool = False) -> dict:
    bundle = fhir.bundle(reading, job, LINKS, "image/png", SYSTEM, seen or Seen(), transaction)
    return json.loads(json.dumps(bundle))


def of_kind(bundle: dict, kind: str) -> list[dict]:
    return [e["resource"] for e in bundle["entry"] if e["resource"]["resourceType"] == kind]


def check(bundle: dict) -> None:
    """Check a Bundle by both models of FHIR, and that its references lead to resources of it."""
    assert BundleOfR4(bundle).as_json() == bundle
    assert BundleOfR4B.model_validate(bundle)
    addresses = {entry["fullUrl"] for entry in bundle["entry"]}
    assert len(addresses) == len(bundle["entry"])
    named = {text.split('"')[0] for text in json.dumps(bundle["entry"]).split('"reference": "')[1:]}
    assert named <= addresses


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("transaction", [False, True])
def test_the_bundle_is_valid_in_every_state_and_says_it(state: str, transaction: bool):
    reading, of_request, of_task = STATES[state]
    bundle = made(reading, transaction=transaction)
    check(bundle)
    (request,), (task,) = of_kind(bundle, "ServiceRequest"), of_kind(bundle, "Task")
    assert (request["status"], task["status"]) == (of_request, of_task)
    assert task["restriction"]["period"]["end"] == moment_text(reading.due_at)
    assert request["priority"] == "stat"
    assert len(of_kind(bundle, "Practitioner")) == (reading.reader is not None)
    assert ("owner" in task) == (reading.reader is not None)
    assert ("output" in task) == bool(reading.reports)


@pytest.mark.parametrize("finding", FINDINGS)
@pytest.mark.parametrize("grade", [None, "3b"])
@pytest.mark.parametrize("job", [JOB, replace(JOB, result=None)], ids=["answered", "not answered"])
def test_the_bundle_is_valid_for_every_finding(finding: str, grade: str | None, job: Job):
    report = {**signed_readings.REPORT, "finding": finding, "text": "", "advice": ""}
    report["sites"] = report["sites"] if finding in ("fracture", "not_sure") else []
    check(made(signed_readings.signed(WAITING, job, report, "not_comparable", grade), job))


def test_the_models_answer_is_preliminary_and_the_readers_final():
    bundle = made(SIGNED)
    of_model, of_reader = sorted(
        of_kind(bundle, "DiagnosticReport"), key=lambda one: one["status"] == "final"
    )
    assert (of_model["status"], of_reader["status"]) == ("preliminary", "final")
    (reader,), (request,) = of_kind(bundle, "Practitioner"), of_kind(bundle, "ServiceRequest")
    (at,) = [e["fullUrl"] for e in bundle["entry"] if e["resource"] == request]
    assert of_reader["basedOn"] == [{"reference": at}]
    (by,) = of_reader["resultsInterpreter"]
    assert {"system": "urn:ietf:rfc:3986", "value": by["reference"]} in reader["identifier"]
    assert reader["name"] == [{"text": signed_readings.NAME}]
    assert of_reader["conclusion"] == ("There is a fracture. Urgent. Displaced.\nDistal third. Advice: Cast.")
    assert len(of_reader["result"]) == 3
    assert "No physician" not in of_model["conclusion"]
    box, point = [
        one for one in of_kind(bundle, "Observation") if one.get("performer") and "Left" in json.dumps(one)
    ]
    assert [part["valueQuantity"]["value"] for part in box["component"]] == [10, 20, 30, 40]
    assert box["bodySite"] == {"text": "Radius"}
    assert [part["valueQuantity"]["value"] for part in point["component"]] == [55.5, 66]


def test_each_measurement_is_an_observation_with_its_unit_and_plane():
    bundle = made(STATES["measured"][0])
    at = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
    report = next(one for one in of_kind(bundle, "DiagnosticReport") if one["status"] == "final")
    found = [at[one["reference"]] for one in report["result"]][3:]
    said = [
        (
            one["code"]["text"],
            one["valueQuantity"]["value"],
            one["valueQuantity"]["code"],
            one["note"][0]["text"],
        )
        for one in found
    ]
    assert said == [
        ("Length", 8.6, "mm", "Length: 8.6 mm at detector"),
        ("Length", 42.8, "mm", "Length: 42.8 mm in patient (calibrated on 25 mm)"),
        ("Length", 55, "{pixels}", "Length: 55 px (no scale)"),
        ("Angle", 42.2, "deg", "Angle: 42.2°"),
        ("Cobb angle", 24.7, "deg", "Cobb angle: 24.7° Cobb"),
    ]
    assert {one["code"]["coding"][0]["system"] for one in found} == {"http://snomed.info/sct"}
    assert {one["valueQuantity"]["system"] for one in found} == {"http://unitsofmeasure.org"}
    planes = [part.get("valueString") for one in found for part in one["component"][:1]]
    assert planes == ["detector", "calibrated", None, None, None]
    ends = [part["valueQuantity"]["value"] for part in found[4]["component"]]
    assert ends == [number for end in signed_readings.ENDS for number in end]
    ball = [part["valueQuantity"] for part in found[1]["component"][1:]]
    assert [(one["value"], one["code"]) for one in ball][:1] == [(25, "mm")]
    assert [one["value"] for one in ball][5:] == [5, 5, 5, 30]


def test_an_amended_report_keeps_and_changes_measurements_by_version():
    first = signed_readings.signed(WAITING, JOB, signed_readings.with_measurements(JOB))
    kept = first.reports[0]["report"]["measurements"][1:3]
    later = signed_readings.amended(first, JOB, signed_readings.REPORT | {"measurements": kept})
    counted = [one for one in of_kind(made(later), "Observation") if one["status"] != "entered-in-error"]
    notes = [one["note"][0]["text"] for one in counted if "note" in one]
    assert notes == ["Length: 42.8 mm in patient (calibrated on 25 mm)", "Length: 55 px (no scale)"]
    assert len(later.reports[0]["report"]["measurements"]) == 5


def test_what_an_amendment_takes_back_was_entered_in_error():
    first = signed_readings.signed(WAITING, JOB, signed_readings.with_measurements(JOB))
    intact = signed_readings.REPORT | {"finding": "no_fracture", "sites": [], "measurements": []}
    bundle = made(signed_readings.amended(first, JOB, intact), transaction=True)
    check(bundle)
    void = [entry for entry in bundle["entry"] if entry["resource"].get("status") == "entered-in-error"]
    sites, measurements = (
        len(first.reports[0]["report"]["sites"]),
        len(first.reports[0]["report"]["measurements"]),
    )
    assert len(void) == sites + measurements > 2
    assert {entry["request"]["method"] for entry in void} == {"PUT"}
    before = {entry["fullUrl"]: entry["resource"] for entry in made(first)["entry"]}
    assert {before[entry["fullUrl"]]["status"] for entry in void} == {"final"}
    report = next(one for one in of_kind(bundle, "DiagnosticReport") if "basedOn" in one)
    assert not {entry["fullUrl"] for entry in void} & {one["reference"] for one in report["result"]}


def test_a_signature_changes_the_models_report_that_no_physician_had_seen():
    reports = {
        name: next(
            entry
            for entry in made(reading, transaction=True)["entry"]
            if entry["resource"]["resourceType"] == "DiagnosticReport" and "basedOn" not in entry["resource"]
        )
        for name, reading in (("waiting", WAITING), ("signed", SIGNED))
    }
    assert "No physician" in reports["waiting"]["resource"]["conclusion"]
    assert "No physician" not in reports["signed"]["resource"]["conclusion"]
    assert [reports[name]["request"]["method"] for name in ("waiting", "signed")] == ["POST", "PUT"]


def test_an_amended_report_says_so_and_keeps_every_signature():
    bundle = made(signed_readings.amended(SIGNED, JOB, signed_readings.REPORT | {"text": "Also the ulna."}))
    report = next(one for one in of_kind(bundle, "DiagnosticReport") if "basedOn" in one)
    assert report["status"] == "amended"
    assert "Also the ulna." in report["conclusion"]
    first, second = of_kind(bundle, "Provenance")
    assert "reason" not in first
    assert second["reason"] == [{"text": "Seen at a second look."}]


def test_the_provenance_has_the_jws_over_the_report_of_the_bundle():
    bundle = made(SIGNED)
    (provenance,) = of_kind(bundle, "Provenance")
    (signature,) = provenance["signature"]
    assert signature["sigFormat"] == "application/jose"
    jws = b64decode(signature["data"]).decode()
    assert jws == SIGNED.reports[0]["jws"]
    payload = jws.split(".")[1]
    claims = json.loads(b64decode(payload.replace("-", "+").replace("_", "/") + "=" * (-len(payload) % 4)))
    report = next(one for one in of_kind(bundle, "DiagnosticReport") if one["status"] == "final")
    (form,) = report["presentedForm"]
    assert claims["report_sha256"] == digest_of(json.loads(b64decode(form["data"])))
    assert json.loads(b64decode(form["data"])) == signed_readings.REPORT


@pytest.mark.parametrize(("kind", "grade"), [("missed", "3a"), ("none", None)])
def test_an_observation_says_how_model_and_reader_differ(kind: str, grade: str | None):
    bundle = made(signed_readings.signed(WAITING, JOB, kind=kind, grade=grade))
    (found,) = [
        one for one in of_kind(bundle, "Observation") if "Disagreement" in one["code"].get("text", "")
    ]
    assert found["valueCodeableConcept"]["coding"][0]["code"] == kind
    said = {part["code"]["text"]: part for part in found["component"]}
    assert said["The reader had seen nothing of the model's answer"]["valueBoolean"] is True
    grades = [part["valueString"] for text, part in said.items() if "RADPEER" in text]
    assert grades == ([grade] if grade else [])


def test_a_reader_who_is_blind_gets_nothing_of_the_models_answer():
    bundle = made(signed_readings.claimed(WAITING), seen=Seen(answer=False, report=False))
    check(bundle)
    kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert kinds == {"ServiceRequest", "Task", "Practitioner", "Media"}
    text = json.dumps(bundle)
    for word in (RESULT["model"]["name"], RESULT["model"]["sha256"], "heatmap", "0.93", "robability"):
        assert word not in text


def test_what_another_reader_found_is_hidden_with_the_answer():
    bundle = made(SIGNED, seen=Seen(answer=False, report=False))
    check(bundle)
    kinds = {entry["resource"]["resourceType"] for entry in bundle["entry"]}
    assert kinds == {"ServiceRequest", "Task", "Practitioner", "Media"}
    assert "Displaced" not in json.dumps(bundle)


def test_the_readers_own_report_shows_no_disagreement_while_blind():
    bundle = made(SIGNED, seen=Seen(answer=False, report=True))
    check(bundle)
    assert [one["status"] for one in of_kind(bundle, "DiagnosticReport")] == ["final"]
    assert "isagreement" not in json.dumps(bundle)


def test_the_question_stands_in_the_request_alone_and_no_patient_is_named():
    bundle = made(SIGNED)
    assert json.dumps(bundle).count("Scaphoid?") == 1
    (request,) = of_kind(bundle, "ServiceRequest")
    assert request["reasonCode"] == [{"text": "Scaphoid?"}]
    assert "reference" not in request["subject"]
    assert "Patient" not in json.dumps(bundle)


def test_a_transaction_updates_what_changes_and_makes_the_rest_once():
    for entry in made(SIGNED, transaction=True)["entry"]:
        asked, kind = entry["request"], entry["resource"]["resourceType"]
        url = urlsplit(asked["url"])
        condition = asked.get("ifNoneExist") or url.query
        assert (asked["method"], bool(url.query)) in (("PUT", True), ("POST", False))
        assert url.path == kind
        parameter = "_tag" if kind == "Provenance" else "identifier"
        assert parse_qs(condition) == {parameter: [f"urn:ietf:rfc:3986|{entry['fullUrl']}"]}
        if kind in ("Task", "ServiceRequest", "Practitioner"):
            assert asked["method"] == "PUT"


def test_an_arbitration_names_the_report_that_it_decides_about():
    bundle = made(signed_readings.a_reading(JOB, arbitrates=WAITING.id))
    check(bundle)
    (why,) = of_kind(bundle, "ServiceRequest")[0]["reasonReference"]
    assert why["identifier"]["value"] == WAITING.id
