"""Tests the id of each request, in the answer, in problems, logs and the audit log."""

import json
import re
from base64 import b64encode

import pytest

from jobs.record.job import now
from jobs.store.audit import Audit
from tests.api.conftest import Api, problem_of
from tests.api.routes.test_jobs import PNG

MADE = re.compile("req_[0-9a-f]{32}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/health/live", 200),
        ("GET", "/v1/jobs", 200),
        ("GET", "/v1/jobs/job_nobody", 404),
        ("GET", "/nowhere", 404),
        ("GET", "/v1/nowhere", 404),
        ("DELETE", "/v1/jobs", 405),
        ("DELETE", "/", 405),
        ("PROPFIND", "/docs", 405),
        ("GET", "/v1/jobs/", 404),
    ],
)
def test_every_answer_has_the_clients_id_of_the_request(api: Api, method: str, path: str, status: int):
    answer = api.request(method, path, headers={"X-Request-ID": "01JD-a.b/c=1"})
    assert (answer.status, answer.headers["X-Request-ID"]) == (status, "01JD-a.b/c=1")
    if status >= 400:
        assert problem_of(answer)["request_id"] == "01JD-a.b/c=1"
        assert "spelling" not in answer.json()["detail"]


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "Müller", '"quoted"', "<script>"])
def test_a_malformed_request_id_is_replaced(api: Api, given: str):
    answer = api.request("GET", "/nowhere", headers={"X-Request-ID": given.encode().decode("latin-1")})
    assert MADE.fullmatch(answer.headers["X-Request-ID"])
    assert problem_of(answer)["request_id"] == answer.headers["X-Request-ID"]


def test_a_request_without_an_id_gets_a_new_one(api: Api):
    made = {api.request("GET", "/health/live").headers["X-Request-ID"] for _ in range(3)}
    assert len(made) == 3
    assert all(map(MADE.fullmatch, made))


def test_the_request_id_is_in_the_log_and_the_audit_log(api: Api):
    since, name = now(), "from-the-client-7"
    answer = api.request("POST", "/v1/jobs", body=PNG, headers={"X-Request-ID": name})
    job = answer.json()
    lines = [json.loads(line) for line in api.logged(job["id"]).splitlines() if job["id"] in line]
    assert [line["request"] for line in lines if line["message"] == "job accepted"] == [name]
    assert api.accessed(answer)["path"] == "/v1/jobs"
    audit = Audit(api.objects, api.redis)
    audit.carry_over()
    assert [entry["request"] for entry in audit.entries(since) if entry["subject"] == job["id"]] == [name]


def test_the_root_leads_to_the_docs(api: Api):
    answer = api.request("GET", "/", key="")
    assert (answer.status, answer.headers["Location"]) == (302, "docs")


BASE64 = b64encode(PNG).decode()


@pytest.mark.parametrize(
    ("body", "type_"),
    [
        (json.dumps({"image": BASE64}), "application/json"),
        (json.dumps({"image": BASE64}), "application/vnd.api+json; charset=utf-8"),
        (json.dumps({"image": BASE64}), "image/png"),
        (f"data:image/png;base64,{BASE64}", "text/plain"),
        (BASE64, "application/octet-stream"),
    ],
)
def test_json_and_base64_are_refused_with_the_form_that_is_accepted(api: Api, body: str, type_: str):
    answer = api.request("POST", "/v1/jobs", body=body, headers={"Content-Type": type_})
    assert answer.status == 415
    assert "multipart form, as a file in the field `image`" in problem_of(answer)["detail"]
    answer = api.request("POST", "/v1/studies", body=body, headers={"Content-Type": type_})
    assert (answer.status, "multipart form" in answer.json()["detail"]) == (415, True)
