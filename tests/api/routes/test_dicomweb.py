import io
from collections.abc import Callable
from dataclasses import replace

import pytest
import requests
import urllib3
from dicomweb_client import DICOMwebClient
from flask import Request
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000MC,
    ComprehensiveSRStorage,
    ComputedRadiographyImageStorage,
)
from pydicom.uid import DigitalXRayImageStorageForPresentation as DX
from werkzeug.test import EnvironBuilder

from api.app import create_app
from api.http.multipart_related import CHUNK, MultipartPart, related_parts
from api.http.problem import Problem
from api.identity.key_store import Keys
from jobs.redis.client_queues import client_queue_key
from tests import pictures
from tests.api.conftest import MAX_BYTES, Api, collaborators, problem_of

STUDY = "1.2.3.4"


@pytest.fixture(autouse=True)
def nothing_pushed_before(api: Api) -> None:
    for claim in api.objects.keys("clients/clinic/claims/"):
        api.objects.delete(claim)


def image(number: int, sop_class: str = DX, **attributes: object) -> Dataset:
    """One instance of a study of X-rays."""
    data = pictures.dicom_of_a_study(pictures.gray(), PatientName="Doe^Hidden", **attributes)
    dataset = dcmread(io.BytesIO(data))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.4.5.{number}"
    return dataset


def part10(dataset: Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def client(api: Api, basic: bool = False) -> DICOMwebClient:
    session = requests.Session()
    if basic:
        session.auth = ("orthanc", api.key)
    else:
        session.headers["Authorization"] = f"Bearer {api.key}"
    return DICOMwebClient(f"{api.url}/dicom-web", session=session)


def push(
    api: Api, *parts: bytes, path: str = "/dicom-web/studies", end: bytes = b"--b--\r\n", **kwargs
) -> urllib3.BaseHTTPResponse:
    head = b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    body = b"".join(head + part + b"\r\n" for part in parts) + end
    headers = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=b'}
    return api.request("POST", path, body=body, headers=headers | kwargs.pop("headers", {}), **kwargs)


def of(answer: urllib3.BaseHTTPResponse) -> Dataset:
    assert answer.headers["Content-Type"] == "application/dicom+json"
    return Dataset.from_json(answer.data.decode())


@pytest.mark.parametrize("basic", [False, True], ids=["bearer", "basic"])
@pytest.mark.parametrize("study", [None, STUDY])
def test_a_pacs_pushes_a_study_and_each_image_becomes_a_job(api: Api, basic: bool, study: str | None):
    images = [image(1), image(2, ComputedRadiographyImageStorage)]
    answer = client(api, basic).store_instances(images, study)
    assert "FailedSOPSequence" not in answer
    stored = answer.ReferencedSOPSequence
    assert [item.ReferencedSOPInstanceUID for item in stored] == ["1.2.3.4.5.1", "1.2.3.4.5.2"]
    for item, sent in zip(stored, images, strict=True):
        path = item.RetrieveURL.removeprefix("https://osteo.example")
        kept = dcmread(io.BytesIO(api.request("GET", path).data))
        assert kept.SOPInstanceUID == sent.SOPInstanceUID
    assert api.redis.zcard(client_queue_key("clinic", "routine")) == 2


def test_the_answer_links_to_the_jobs(api: Api):
    answer = push(
        api, part10(image(1)), part10(image(2)), path="/dicom-web/studies?reference=R-7&priority=stat"
    )
    assert answer.status == 200
    links = answer.headers.getlist("Link")
    assert len(links) == 2
    job = api.request("GET", links[0].split(">")[0].removeprefix("<https://osteo.example")).json()
    assert (job["reference"], job["priority"]) == ("R-7", "stat")


def test_a_repeated_instance_is_one_job_and_a_changed_one_is_refused(api: Api):
    first, again = push(api, part10(image(1))), push(api, part10(image(1)), part10(image(2)))
    assert (first.status, again.status) == (200, 200)
    assert first.headers.getlist("Link") == again.headers.getlist("Link")[:1]
    assert api.redis.zcard(client_queue_key("clinic", "routine")) == 2
    other = push(api, part10(image(1, BodyPartExamined="HAND")))
    assert other.status == 409
    assert [item.FailureReason for item in of(other).FailedSOPSequence] == [0x0111]


def test_a_study_stored_in_part_names_the_failures(api: Api):
    later = image(2)
    later.NumberOfFrames = 2
    odd = image(3)
    odd.file_meta.TransferSyntaxUID = JPEG2000MC
    odd.PixelData = encapsulate([odd.PixelData])
    answer = push(
        api,
        part10(image(1)),
        part10(later),
        part10(image(4, "1.2.3.99")),
        part10(odd),
        b"no DICOM at all",
        part10(image(5, Manufacturer="x" * 60)) + b"\0" * MAX_BYTES,
    )
    assert answer.status == 202
    said = of(answer)
    assert [item.ReferencedSOPInstanceUID for item in said.ReferencedSOPSequence] == ["1.2.3.4.5.1"]
    failed = {item.ReferencedSOPInstanceUID: item.FailureReason for item in said.FailedSOPSequence}
    assert failed == {"1.2.3.4.5.2": 0xC000, "1.2.3.4.5.4": 0x0122, "1.2.3.4.5.3": 0xC122}
    assert [item.FailureReason for item in said.OtherFailuresSequence] == [0xC000, 0xA700]
    assert len(answer.headers.getlist("Link")) == 1


@pytest.mark.parametrize(
    "left_alone",
    [image(4, ComprehensiveSRStorage), image(4, Manufacturer="Osteo-Synergy")],
    ids=["no image", "made by this service"],
)
def test_an_instance_that_is_no_image_is_acknowledged_and_not_stored(api: Api, left_alone: Dataset):
    answer = push(api, part10(image(1)), part10(left_alone))
    assert answer.status == 202
    said = of(answer)
    assert "FailedSOPSequence" not in said
    job, acknowledged = said.ReferencedSOPSequence
    assert ("RetrieveURL" in job, "RetrieveURL" in acknowledged) == (True, False)
    assert acknowledged.WarningReason == 0xB006
    assert api.redis.zcard(client_queue_key("clinic", "routine")) == 1
    alone = push(api, part10(left_alone))
    assert (alone.status, len(of(alone).ReferencedSOPSequence)) == (202, 1)


def test_a_deflated_or_damaged_instance_fails_alone_and_is_not_inflated(api: Api):
    whole = part10(image(2))
    deflated = whole.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99", 1)
    answer = push(api, part10(image(1)), deflated, whole[:-9000], part10(image(3)))
    assert answer.status == 202
    assert len(of(answer).ReferencedSOPSequence) == 2


def test_numbers_of_a_uid_may_begin_with_zeros(api: Api):
    padded = image(1)
    padded.SOPInstanceUID = padded.file_meta.MediaStorageSOPInstanceUID = "1.2.03.0004"
    answer = push(api, part10(padded))
    assert answer.status == 200
    assert of(answer).ReferencedSOPSequence[0].ReferencedSOPInstanceUID == "1.2.03.0004"


@pytest.mark.parametrize("text", [b"\r\n", b"This is MIME.\r\n", b"-" * CHUNK + b"\r\n", b"--\r\n--x\r\n"])
def test_text_before_the_first_boundary_is_ignored(api: Api, text: bytes):
    head = text + b"--b\r\nContent-Type: application/dicom\r\n\r\n"
    for gap in range(4):
        body = b" " * gap + head + part10(image(1)) + b"\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/related; type=application/dicom; boundary=b"}
        assert api.request("POST", "/dicom-web/studies", body=body, headers=headers).status == 200


def test_an_instance_without_its_preamble_is_accepted(api: Api):
    assert push(api, part10(image(1))[132:]).status == 200


def test_an_instance_of_another_study_is_refused_and_not_stored(api: Api):
    before = api.traces()
    answer = push(api, part10(image(1)), path="/dicom-web/studies/9.8.7")
    assert answer.status == 409
    assert of(answer).FailedSOPSequence[0].FailureReason == 0xA900
    assert api.traces() == before


def test_a_type_without_quotes_is_accepted(api: Api):
    headers = {"Content-Type": "multipart/related; type=application/dicom; boundary=b"}
    assert push(api, part10(image(1)), headers=headers).status == 200


def test_instances_beyond_the_limit_fail_together_and_are_not_read(api: Api):
    small = part10(image(1))
    answer = push(api, small, *[b"x"] * 49, small, small)
    assert answer.status == 202
    assert len(of(answer).ReferencedSOPSequence) == 1
    reasons = [item.FailureReason for item in of(answer).OtherFailuresSequence]
    assert reasons == [0xC000] * 49 + [0xA700]


EMPTY = b"--b\r\n\r\n\r\n"


@pytest.mark.parametrize("part", [EMPTY, EMPTY[:-2] + b"x" * 99_000 + b"\r\n"], ids=["empty", "large"])
def test_no_part_behind_the_first_one_too_many_is_read(settings, ledger, queue, part: bytes):
    settings, keys = replace(settings, max_instances=3), Keys(ledger.records)
    client = create_app(settings, collaborators(settings, ledger, queue, keys)).test_client()
    body = io.BytesIO(part * (20 * CHUNK // len(part)) + b"--b--\r\n")
    answer = client.post(
        "/dicom-web/studies",
        input_stream=body,
        content_length=len(body.getvalue()),
        content_type='multipart/related; type="application/dicom"; boundary=b',
        headers={"Authorization": f"Bearer {keys.create('clinic')}"},
    )
    assert answer.status_code == 409
    failed = Dataset.from_json(answer.text).OtherFailuresSequence
    assert [item.FailureReason for item in failed] == [0xC000] * 3 + [0xA700]
    assert body.tell() <= 3 * len(part) + 2 * CHUNK


def with_blanks(times: int) -> bytes:
    """Two parts, with blanks behind the boundary between them."""
    return b"--b\r\n\r\nx\r\n--b" + b" \t" * times + b"\r\n\r\ny\r\n--b--\r\n"


def with_boundaries(times: int) -> bytes:
    """A part in which so many lines begin as a boundary does."""
    return b"--b\r\n\r\nx" + b"\r\n--bA" * times + b"\r\n--b--\r\n"


@pytest.mark.parametrize(("body", "most"), [(with_blanks, 100), (with_boundaries, 9_000)])
def test_a_body_that_is_slow_to_read_is_refused(body: Callable[[int], bytes], most: int):
    def parts_of(data: bytes) -> list[MultipartPart]:
        builder = EnvironBuilder(method="POST", data=data, content_type="multipart/related; boundary=b")
        return list(related_parts(Request(builder.get_environ()), len(data), 50))

    assert parts_of(body(most))
    with pytest.raises(Problem, match="malformed"):
        parts_of(body(CHUNK))


def test_no_byte_of_a_malformed_body_goes_into_the_log(settings, ledger, queue, caplog):
    keys = Keys(ledger.records)
    client = create_app(settings, collaborators(settings, ledger, queue, keys)).test_client()
    answer = client.post(
        "/dicom-web/studies",
        data=b"--b\r\nPatient\xc3: Doe\r\n\r\nx\r\n--b--\r\n",
        content_type='multipart/related; type="application/dicom"; boundary=b',
        headers={"Authorization": f"Bearer {keys.create('clinic')}"},
    )
    assert answer.status_code == 400
    assert not [record for record in caplog.records if record.name.startswith("python_multipart")]


def test_an_interrupted_request_keeps_what_was_stored_and_names_a_failure(api: Api):
    answer = push(api, part10(image(1)), end=b"--b\r\nContent-Type: application/dicom\r\n\r\nDICM")
    assert answer.status == 202
    said = of(answer)
    assert len(said.ReferencedSOPSequence) == len(said.OtherFailuresSequence) == 1


BAD = {
    "no part": ((), {}, 400),
    "no end": ((), {"end": b""}, 400),
    "callback that may not be called": (
        (part10(image(1)),),
        {"path": "/dicom-web/studies?callback_url=https://127.0.0.1/"},
        422,
    ),
    "field that there is not": ((part10(image(1)),), {"path": "/dicom-web/studies?colour=red"}, 400),
    "JSON": ((), {"headers": {"Content-Type": "application/json"}}, 415),
    "no boundary": ((), {"headers": {"Content-Type": 'multipart/related; type="application/dicom"'}}, 400),
    "a long boundary": (
        (),
        {"headers": {"Content-Type": f"multipart/related; type=application/dicom; boundary={'b' * 500}"}},
        400,
    ),
    "metadata and bulk data": (
        (),
        {"headers": {"Content-Type": 'multipart/related; type="application/dicom+json"; boundary=b'}},
        415,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_another_request_than_store_is_refused_and_nothing_is_stored(api: Api, name: str):
    parts, kwargs, status = BAD[name]
    before = api.traces()
    answer = push(api, *parts, **kwargs)
    assert answer.status == status
    assert problem_of(answer)
    assert api.traces() == before


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic bm9ib2R5Om5vIGtleQ=="},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic"},
    ],
)
def test_a_wrong_password_is_refused_and_basic_is_not_offered(api: Api, headers: dict[str, str]):
    answer = push(api, part10(image(1)), headers=headers)
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_basic_is_accepted_for_dicomweb_alone(api: Api):
    headers = urllib3.make_headers(basic_auth=f"orthanc:{api.key}")
    assert api.request("GET", "/v1/jobs", headers={"Authorization": headers["authorization"]}).status == 401


def test_the_log_names_neither_study_nor_patient(api: Api):
    line = api.accessed(push(api, part10(image(1)), path=f"/dicom-web/studies/{STUDY}"))
    assert (line["method"], line["path"], line["status"]) == ("POST", "/dicom-web/studies/-", 200)
    log = api.log.read_text()
    assert "Hidden" not in log
    assert STUDY not in log
