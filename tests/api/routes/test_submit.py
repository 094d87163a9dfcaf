import json
import socket
from contextlib import ExitStack
from datetime import datetime, timedelta
from secrets import token_hex
from urllib.parse import quote

import numpy as np
import pytest
import urllib3

from jobs.redis.queue import INFER_ROUTINE, INFER_STAT
from jobs.store.ledger_keys import INVERTED
from jobs.trace import trace_id
from tests import pictures
from tests.api.conftest import MAX_BYTES, Api, problem_of

PNG = pictures.encoded(pictures.gray())


def test_an_accepted_radiograph_is_stored_recorded_and_enqueued(api: Api):
    answer = api.submit(
        PNG, reference="R 1", metadata='{"a": 1}', priority="stat", callback_url="https://c.example/"
    )
    job = answer.json()
    assert answer.status == 202
    assert answer.headers["Location"] == job["links"]["self"] == f"https://osteo.example/v1/jobs/{job['id']}"
    assert answer.headers["Retry-After"]
    assert (job["state"], job["delivery"], job["reference"], job["metadata"]) == (
        "queued",
        "pending",
        "R 1",
        {"a": 1},
    )
    assert job["queue_position"] == 0
    assert api.objects.exists(f"pending/{job['id']}")
    newest = next(api.objects.keys("clients/clinic/jobs/"))
    assert newest.endswith(job["id"].removeprefix("job_").translate(INVERTED))
    assert api.objects.get(newest) == PNG
    assert api.redis.llen(INFER_STAT) == 1


def test_a_job_may_have_its_own_deadline_and_retention(api: Api):
    job = api.submit(PNG, deadline_seconds="60", retention_seconds="3600").json()
    created, expires = (datetime.fromisoformat(job[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(seconds=60)
    assert job["retention_seconds"] == 3600
    usual = api.submit(PNG).json()
    created, expires = (datetime.fromisoformat(usual[name]) for name in ("created_at", "expires_at"))
    assert expires - created == timedelta(days=1)
    assert usual["retention_seconds"] is None


def test_a_raw_body_takes_its_fields_from_the_query(api: Api):
    answer = api.request("POST", "/v1/jobs?reference=R%202", body=PNG, headers={"Content-Type": "image/png"})
    assert answer.status == 202
    assert answer.json()["reference"] == "R 2"
    assert api.redis.llen(INFER_ROUTINE) == 1


def test_the_record_of_a_dicom_file_has_codes_and_no_identifiers(api: Api):
    data = pictures.dicom(
        pictures.gray(), PatientName="Doe^Hidden", BodyPartExamined="WRIST", ImagerPixelSpacing=[0.1, 0.1]
    )
    answer = api.request("POST", "/v1/jobs", body=data, headers={"Content-Type": "application/dicom"})
    assert answer.status == 202
    record = api.objects.get(f"pending/{answer.json()['id']}")
    acquisition = json.loads(record)["acquisition"]
    assert acquisition["body_part"]["term"] == "WRIST"
    assert (acquisition["pixel_spacing"], acquisition["spacing_plane"]) == ([0.1, 0.1], "detector")
    assert b"Hidden" not in record
    assert "Hidden" not in api.log.read_text()


def test_the_log_names_the_path_and_not_what_the_client_sent(api: Api):
    api.request("POST", "/v1/jobs?reference=HIDDEN-4711", body=PNG)
    line = api.accessed(api.submit(PNG, reference="HIDDEN-4711"))
    assert (line["method"], line["path"], line["status"]) == ("POST", "/v1/jobs", 202)
    log = api.log.read_text()
    assert "HIDDEN-4711" not in log
    assert api.key not in log


def test_a_job_belongs_to_the_trace_that_the_client_names_or_to_a_new_one(api: Api, servers):
    ledger, trace = api.ledger, token_hex(16)
    fields = {"image": ("x.png", PNG)}
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    named = api.request("POST", "/v1/jobs", fields=fields, headers=headers).json()
    fresh = api.submit(PNG).json()
    assert trace_id(ledger.read(named["id"]).traceparent) == trace
    assert len(trace_id(ledger.read(fresh["id"]).traceparent)) == 32
    (line,) = [
        line for line in api.log.read_text().splitlines() if named["id"] in line and "accepted" in line
    ]
    assert json.loads(line)["trace"] == trace


def test_a_body_as_curl_sends_it_by_default_is_the_image(api: Api):
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert api.request("POST", "/v1/jobs", body=PNG, headers=headers).status == 202


@pytest.mark.parametrize(
    ("format_", "data"),
    [
        ("PNG", pictures.encoded(pictures.gray().astype(np.uint16) * 257)),
        ("PNG", pictures.encoded(pictures.gray(), mode="P")),
        ("PNG", pictures.encoded(pictures.gray(), mode="RGBA")),
        ("PNG", pictures.encoded(pictures.colours())),
        ("JPEG", pictures.encoded(pictures.gray(), "JPEG", mode="CMYK")),
        ("JPEG", pictures.encoded(pictures.gray(), "JPEG")),
        ("TIFF", pictures.encoded(pictures.gray(), "TIFF")),
        ("BMP", pictures.encoded(pictures.gray(), "BMP")),
        ("WEBP", pictures.encoded(pictures.gray(), "WEBP")),
        ("DICOM", pictures.dicom(pictures.gray())),
        ("DICOM", pictures.dicom(pictures.gray(), PhotometricInterpretation="MONOCHROME1")),
    ],
    ids=[
        "16-bit",
        "palette",
        "rgba",
        "colour",
        "cmyk",
        "jpeg",
        "tiff",
        "bmp",
        "webp",
        "dicom",
        "monochrome1",
    ],
)
def test_every_promised_format_is_accepted_and_recognized_by_content(api: Api, format_: str, data: bytes):
    job_id = api.submit(data, name="lies.gif").json()["id"]
    image = api.request("GET", f"/v1/jobs/{job_id}/image")
    assert image.data == data
    assert format_.lower() in image.headers["Content-Type"]
    assert image.headers["X-Content-Type-Options"] == "nosniff"


BAD_IMAGES = {
    "empty": (b"", 400),
    "text named .png": (b"this is no image, whatever its name says", 415),
    "truncated jpeg": (pictures.truncated_jpeg(), 422),
    "pixel bomb": (pictures.bomb(), 413),
    "animated webp": (pictures.animated_webp(), 422),
    "dicom without pixels": (pictures.dicom(), 422),
    "dicom with frames": (pictures.dicom(pictures.gray(), frames=2), 422),
    "dicom of wrong length": (pictures.dicom(pictures.gray(), cut=4001), 422),
    "over the limit": (b"\xff\xd8\xff" + b"\0" * MAX_BYTES, 413),
    "far over the limit": (b"\xff\xd8\xff" + b"\0" * MAX_BYTES * 20, 413),
}


@pytest.mark.parametrize("raw", [False, True], ids=["form", "raw"])
@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_gets_a_problem_and_leaves_no_trace(api: Api, name: str, raw: bool):
    data, status = BAD_IMAGES[name]
    before = api.traces()
    answer = api.request("POST", "/v1/jobs", body=data) if raw else api.submit(data)
    assert answer.status == status
    assert problem_of(answer)
    assert api.traces() == before


def test_a_body_over_the_limit_without_a_length_is_refused(api: Api):
    before = api.traces()
    chunks = (b"\xff\xd8\xff" + b"\0" * 50_000 for _ in range(40))
    answer = api.request("POST", "/v1/jobs", body=chunks, headers={"Transfer-Encoding": "chunked"})
    assert answer.status == 413
    assert problem_of(answer)["max_bytes"] == MAX_BYTES
    assert api.traces() == before


def test_an_image_sent_chunked_is_accepted(api: Api):
    chunks = (PNG[i : i + 100] for i in range(0, len(PNG), 100))
    answer = api.request("POST", "/v1/jobs", body=chunks, headers={"Transfer-Encoding": "chunked"})
    assert answer.status == 202


BAD_FIELDS = {
    "unknown": ({"colour": "x"}, 400),
    "priority": ({"priority": "now"}, 400),
    "metadata that is no json": ({"metadata": "{"}, 400),
    "metadata that is no object": ({"metadata": "[1]"}, 400),
    "metadata too long": ({"metadata": json.dumps({"a": "x" * 5000})}, 400),
    "metadata with NaN": ({"metadata": '{"a": NaN}'}, 400),
    "metadata with a number beyond all floats": ({"metadata": '{"a": 1e999}'}, 400),
    "metadata nested deep": ({"metadata": '{"a": ' + "[" * 600 + "]" * 600 + "}"}, 400),
    "reference too long": ({"reference": "x" * 201}, 400),
    "reference with a line break": ({"reference": "a\nb"}, 400),
    "deadline_seconds beyond the service's own": ({"deadline_seconds": "86401"}, 400),
    "deadline_seconds of nothing": ({"deadline_seconds": "0"}, 400),
    "retention_seconds that is no number": ({"retention_seconds": "-1"}, 400),
    "callback that is not http": ({"callback_url": "ftp://clinic.example/"}, 422),
    "callback to this machine": ({"callback_url": "https://127.0.0.1/"}, 422),
    "callback in plain http": ({"callback_url": "http://clinic.example/"}, 422),
}


@pytest.mark.parametrize("name", BAD_FIELDS)
def test_a_bad_field_gets_a_problem_and_leaves_no_trace(api: Api, name: str):
    fields, status = BAD_FIELDS[name]
    before = api.traces()
    answer = api.submit(PNG, **fields)
    assert answer.status == status
    assert next(iter(fields)) in problem_of(answer)["detail"]
    assert api.traces() == before


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"no parts", {"Content-Type": "multipart/form-data"}),
        (b"no parts", {"Content-Type": "multipart/form-data; boundary=x"}),
    ],
)
def test_a_malformed_form_is_refused(api: Api, body: bytes, headers: dict[str, str]):
    answer = api.request("POST", "/v1/jobs", body=body, headers=headers)
    assert answer.status == 400
    assert problem_of(answer)


def test_a_form_of_too_many_parts_is_not_called_a_large_image(api: Api):
    answer = api.submit(PNG, **{f"field-{number}": "x" for number in range(30)})
    assert answer.status == 400
    assert "fields" in problem_of(answer)["detail"]


def test_a_query_may_have_the_length_that_gunicorn_reads(api: Api):
    metadata = json.dumps({"a": "x" * 4000})
    answer = api.request("POST", f"/v1/jobs?metadata={quote(metadata)}", body=PNG)
    assert answer.status == 202
    assert answer.json()["metadata"] == json.loads(metadata)


def test_two_images_in_one_form_are_refused(api: Api):
    fields = [("image", ("a.png", PNG)), ("image", ("b.png", PNG))]
    answer = api.request("POST", "/v1/jobs", fields=fields)
    assert answer.status == 400
    assert "exactly one" in problem_of(answer)["detail"]


@pytest.mark.parametrize("key", ["", "wrong", "osteo_" + "A" * 43])
def test_a_wrong_key_is_refused_and_leaves_no_trace(api: Api, key: str):
    before = api.traces()
    answer = api.request("POST", "/v1/jobs", key=key, fields={"image": ("x.png", PNG)})
    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert problem_of(answer)
    assert api.traces() == before


def test_keys_are_stored_hashed(api: Api):
    stored = [api.objects.get(key) for key in api.objects.keys("keys/")]
    assert stored
    assert not any(api.key.encode() in record for record in stored)
    assert not any(api.key in key for key in api.objects.keys("keys/"))


def test_a_slow_client_does_not_hold_up_another(api: Api):
    pool = urllib3.connection_from_url(api.url)
    connection = pool._get_conn()
    connection.putrequest("POST", "/v1/jobs")
    connection.putheader("Authorization", f"Bearer {api.key}")
    connection.putheader("Content-Length", "1000")
    connection.endheaders(b"only the beginning")
    assert api.submit(PNG).status == 202
    connection.close()


def test_others_are_answered_while_many_submit_slowly(api: Api):
    host, port = api.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {api.key}\r\nContent-Length: 99\r\n\r\n"
    )
    with ExitStack() as slow:
        for _ in range(150):
            slow.enter_context(socket.create_connection((host, int(port)))).sendall(head.encode() + b"...")
        assert api.request("GET", "/v1/jobs").status == 200
