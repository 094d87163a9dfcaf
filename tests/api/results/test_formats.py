import io
from email import message_from_bytes, policy

import pytest
from pydicom import dcmread

from admin.keys import Keys
from api.http.problem import Problem
from api.results import formats
from jobs.record.job import Job, now
from jobs.store.ledger import Ledger
from tests import pictures
from tests.api.conftest import Api, problem_of
from tests.results import RESULT

SOURCE = pictures.dicom_of_a_study(pictures.gray(), PatientName="Hidden")
RELATED = 'multipart/related; type="application/dicom"'


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


def succeeded(api: Api, ledger: Ledger, image: bytes) -> Job:
    job = ledger.read(api.submit(image).json()["id"])
    running = ledger.append(job.started("w", now()))
    return ledger.append(running.succeeded(RESULT, now(), bytes([0, 0, 200, 0])))


@pytest.fixture
def job(api: Api, ledger: Ledger) -> Job:
    return succeeded(api, ledger, SOURCE)


def ask(api: Api, job: Job, accept: str | None):
    headers = {"Accept": accept} if accept else {}
    return api.request("GET", f"/v1/jobs/{job.id}/result", headers=headers)


@pytest.mark.parametrize("accept", [None, "application/json", "*/*", "text/html, application/*;q=0.5"])
def test_json_is_answered_unless_another_format_is_named(api: Api, job: Job, accept: str | None):
    answer = ask(api, job, accept)
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Vary"] == "Accept"
    assert answer.json() == RESULT


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ('application/json, multipart/related; type="application/dicom"; q=0.1', "application/json"),
        ("application/json, application/fhir+json;fhirVersion=4.0;q=0.5", "application/json"),
        ("application/json; charset=utf-8; q=0.9, application/fhir+json", "application/fhir+json"),
        ("application/fhir+json;q=0.1, */*", "application/json"),
    ],
)
def test_the_quality_of_an_entry_comes_before_its_parameters(api: Api, job: Job, accept: str, answered: str):
    assert ask(api, job, accept).headers["Content-Type"].partition(";")[0] == answered


def test_fhir_is_answered_if_it_is_named(api: Api, job: Job):
    answer = ask(api, job, "application/fhir+json, application/json;q=0.5")
    assert answer.headers["Content-Type"] == "application/fhir+json; fhirVersion=4.0"
    assert answer.json()["resourceType"] == "Bundle"
    assert b"Hidden" not in answer.data
    assert f"https://osteo.example/v1/jobs/{job.id}/heatmap" in answer.data.decode()


def test_dicom_is_the_report_and_multipart_adds_the_overlay(api: Api, job: Job):
    alone = ask(api, job, "application/dicom")
    assert alone.headers["Content-Type"] == "application/dicom"
    both = ask(api, job, f"{RELATED}; transfer-syntax=*")
    head = f"Content-Type: {both.headers['Content-Type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + both.data, policy=policy.HTTP).iter_parts()
    report, overlay = (dcmread(io.BytesIO(part.get_payload(decode=True))) for part in parts)
    assert report == dcmread(io.BytesIO(alone.data))
    assert (report.Modality, overlay.Modality) == ("SR", "OT")
    assert report.PatientName == overlay.PatientName == "Hidden"


def test_made_instances_are_neither_stored_nor_logged(api: Api, job: Job):
    before = api.traces()
    assert ask(api, job, RELATED).status == 200
    assert api.traces() == before
    log = api.log.read_text()
    assert "Hidden" not in log
    assert dcmread(io.BytesIO(SOURCE)).SOPInstanceUID not in log


@pytest.mark.parametrize("accept", ["image/png", "application/fhir+xml", "multipart/related"])
def test_another_format_is_refused_with_the_list_of_formats(api: Api, job: Job, accept: str):
    answer = ask(api, job, accept)
    assert answer.status == 406
    assert "application/fhir+json" in problem_of(answer)["detail"]


@pytest.mark.parametrize(
    ("image", "word"),
    [
        (pictures.encoded(pictures.gray()), "PNG"),
        (pictures.dicom(pictures.gray()), "study"),
        (SOURCE.replace(b"1.2.840.10008.5.1.4.1.1.7\0", b"Hidden.2.840.10008.5.1.4.1"), "values"),
    ],
)
def test_dicom_of_an_image_that_cannot_be_filed_is_refused(api: Api, ledger: Ledger, image: bytes, word: str):
    job = succeeded(api, ledger, image)
    for accept in ("application/dicom", RELATED):
        answer = ask(api, job, accept)
        assert answer.status == 406
        assert word in problem_of(answer)["detail"]
    assert "Hidden" not in api.log.read_text()


def test_without_highdicom_a_request_for_dicom_is_refused(job: Job, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    with pytest.raises(Problem, match="without highdicom") as refusal:
        formats._dicom(job, "application/dicom", lambda: SOURCE, lambda: b"")
    assert refusal.value.status == 406


def test_another_clients_result_does_not_exist_in_any_format(api: Api, job: Job):
    other = Keys(api.records).create("another")
    for accept in ("application/json", "application/fhir+json", "application/dicom", RELATED):
        headers = {"Accept": accept}
        answer = api.request("GET", f"/v1/jobs/{job.id}/result", key=other, headers=headers)
        assert answer.status == 404
