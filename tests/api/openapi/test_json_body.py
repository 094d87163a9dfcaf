"""Tests JSON bodies on every route that takes one: their size, their depth and their schema."""

import json
import socket
from collections.abc import Iterator

import pytest
import urllib3

from api.openapi.json_body import MOST_BYTES, MOST_DEPTH
from jobs.reading.policy import ReadingPolicy
from jobs.reading.readers import Readers
from jobs.reading.readings import Readings
from tests.api.conftest import Api, problem_of
from tests.api.routes.test_jobs import PNG
from tests.conftest import a_job

REPORT = {"finding": "no_fracture", "sites": [], "text": "", "urgent": False, "advice": ""}
VALID = {
    "amendReport": {"report": REPORT, "code": "123456", "reason": "A second look."},
    "chooseEvents": {"events": ["job.failed"]},
    "commitFinding": {"finding": "no_fracture"},
    "createKey": {"scopes": ["read"]},
    "createUpload": {"size": 1, "content_type": "image/png"},
    "redeliverSince": {"since": "2020-01-01T00:00:00Z"},
    "registerFilm": {"marker_mm": 50},
    "registerMarker": {
        "marker_mm": 50,
        "corners_px": [[400, 300], [500, 300], [500, 400], [400, 400]],
        "horizontal_fov_deg": 60,
        "width_px": 900,
        "height_px": 700,
    },
    "requestReading": {"priority": "stat"},
    "returnReading": {"reason": "wrong_side"},
    "rotateKey": {"overlap_hours": 1},
    "saveDraft": {"draft": {}},
    "sendProbe": {"callback_url": "https://clinic.example/"},
    "setConsent": {"training_use": "denied"},
    "signReport": {"report": REPORT, "code": "123456"},
}
"""A valid body of each operation. A new operation needs an example here."""
JSON = {"Content-Type": "application/json"}


def operations(api: Api) -> Iterator[tuple[str, str, dict, str]]:
    """List method, path and description of every operation that takes JSON, and a key that may use it."""
    key_id = api.request("GET", "/v1/keys").json()["keys"][0]["id"]
    job = a_job()
    api.ledger.accept(job, b"image")
    reading = Readings(api.ledger).request(job, ReadingPolicy(("bones",)))
    reader_key, _ = Readers(api.records).create("Ada Bone", frozenset({"bones"}))
    for path, item in api.request("GET", "/openapi.json", key="").json()["paths"].items():
        for method, operation in item.items():
            if method != "parameters" and "application/json" in operation.get("requestBody", {}).get(
                "content", {}
            ):
                named = {"key_id": key_id, "job_id": job.id, "reading_id": reading.id}
                key = reader_key if "{reading_id}" in path else api.key
                yield method.upper(), path.format(**named), operation, key


def wrong_bodies(valid: dict) -> dict[str, bytes]:
    """List invalid bodies of an operation, by what is wrong with them."""
    name, value = next(iter(valid.items()))
    return {
        "deep": b"[" * (MOST_BYTES // 2) + b"]" * (MOST_BYTES // 2),
        "deep inside": json.dumps(valid | {name: nested(MOST_DEPTH)}).encode(),
        "no object": b"[]",
        "null": b"null",
        "no JSON": b"{",
        "no text": b"\xff\xfe\xfd",
        "no number of JSON": f'{{"{name}": NaN}}'.encode(),
        "a number beyond all": f'{{"{name}": 1e999}}'.encode(),
        "a number of 60,000 digits": f'{{"{name}": {"9" * 60_000}}}'.encode(),
        "another type": json.dumps(valid | {name: {"x": value}}).encode(),
    }


def made(api: Api) -> set[str]:
    """Return the keys of what clients have made, without the audit log."""
    return {trace for trace in api.traces() if not trace.startswith("audit")}


def nested(depth: int) -> object:
    return [nested(depth - 1)] if depth else "x"


def test_every_operation_that_takes_json_has_an_example_here(api: Api):
    assert {operation["operationId"] for _, _, operation, _ in operations(api)} == VALID.keys()


def test_no_operation_takes_json_that_is_deep_or_of_another_form(api: Api):
    described = list(operations(api))
    before = made(api)
    for method, path, operation, key in described:
        for wrong, body in wrong_bodies(VALID[operation["operationId"]]).items():
            answer = api.request(method, path, key=key, headers=JSON, body=body)
            assert (answer.status, problem_of(answer)["type"]) == (400, "/problems/malformed"), (path, wrong)
            assert len(answer.data) < 1000, "the answer repeats little of what was sent"
    assert made(api) == before


def test_a_body_with_another_content_type_is_refused(api: Api):
    for method, path, operation, key in operations(api):
        body = json.dumps(VALID[operation["operationId"]])
        answer = api.request(method, path, key=key, headers={"Content-Type": "text/plain"}, body=body)
        assert "application/json" in problem_of(answer)["detail"], path


def test_only_a_body_that_may_be_absent_may_be_absent(api: Api):
    for method, path, operation, key in operations(api):
        if operation["requestBody"]["required"]:
            assert problem_of(api.request(method, path, key=key))["status"] == 400, path


def test_a_large_body_is_refused_before_it_is_sent(api: Api):
    for method, path, _, key in operations(api):
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: osteo\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {2 * MOST_BYTES}\r\n\r\n"
        )
        host, port = api.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as line:
            line.sendall(head.encode())
            assert b" 413 " in line.recv(65_536).partition(b"\r\n")[0], path


def test_a_large_body_without_a_length_is_refused_too(api: Api):
    for method, path, operation, key in operations(api):
        # What would be read of it before the limit is a body of the right form.
        begin = json.dumps(VALID[operation["operationId"]]).encode().ljust(4096)
        chunks = iter([begin, *[b" " * 4096] * (MOST_BYTES // 4096)])
        try:
            answer = api.request(method, path, key=key, headers=JSON, body=chunks)
        except urllib3.exceptions.ProtocolError:
            continue  # The API closed the connection while the rest was on its way.
        problem = problem_of(answer)
        assert (problem["status"], problem["max_bytes"]) == (413, MOST_BYTES), path


def test_the_description_names_both_refusals(api: Api):
    for _, path, operation, _ in operations(api):
        assert "`malformed`" in operation["responses"]["400"]["description"], path
        assert "`request-entity-too-large`" in operation["responses"]["413"]["description"], path


@pytest.mark.parametrize("text", ["[" * 4000, '{"a": NaN}', '{"a": 1e999}', json.dumps({"a": nested(16)})])
def test_metadata_is_read_by_the_same_rules(api: Api, text: str):
    answer = api.submit(PNG, metadata=text)
    assert (answer.status, problem_of(answer)["type"]) == (400, "/problems/malformed")
