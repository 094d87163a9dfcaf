"""Tests that a repeated submission is one job: by idempotency keys and clients' own ids, over HTTP."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from admin.keys import Keys
from api.intake.idempotency import ABANDONED, INTAKE
from jobs.record.job import now
from jobs.record.states import State
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.store.claims import idempotency_claim_key, own_id_claim_key
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import INVERTED
from tests import pictures
from tests.api.conftest import RESULT, Api, problem_of
from tests.api.test_parts_down import NO_REDIS, client_of
from tests.conftest import only_a_tombstone_is_left
from worker.delivery.deliver import event_of
from worker.sweeper.purge import purge

UNUSED = JobQueue.connect("redis://127.0.0.1:1")
"""For a purger for which no reading is due."""

PNG = pictures.encoded(pictures.gray())
OTHER = pictures.encoded(pictures.gray()[::-1])


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture(params=["key", "own id"])
def send(request, api: Api):
    """Submit with one key: an idempotency key, or an id of the client's own."""

    def by_key(data: bytes = PNG, name: str = "", key: str | None = None, **fields: str):
        headers = {"Idempotency-Key": f"{request.node.name}{name}"}
        fields = {"image": ("x.png", data), **fields}
        return api.request("POST", "/v1/jobs", key=key, headers=headers, fields=fields)

    def by_id(data: bytes = PNG, name: str = "", key: str | None = None, **fields: str):
        own_id = "".join(c for c in f"{request.node.name}{name}" if c.isalnum())
        fields = {"image": ("x.png", data), **fields}
        return api.request("PUT", f"/v1/jobs/{own_id}", key=key, fields=fields)

    return by_key if request.param == "key" else by_id


def end(ledger: Ledger, job_id: str) -> None:
    ledger.append(ledger.append(ledger.read(job_id).started("w", now())).succeeded(RESULT, now()))


def jobs_of(api: Api, key: str) -> list[str]:
    return [job["id"] for job in api.request("GET", "/v1/jobs", key=key).json()["jobs"]]


def test_the_same_submission_is_answered_with_the_same_job(api: Api, ledger: Ledger, send):
    first = send(reference="R 1", metadata='{"a": 1, "b": 2}')
    again = send(reference="R 1", metadata='{"b": 2, "a": 1}')
    assert (first.status, again.status) == (202, 202)
    assert again.json() == first.json()
    assert again.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    end(ledger, first.json()["id"])
    ended = send(reference="R 1", metadata='{"a": 1, "b": 2}')
    assert (ended.status, ended.json()["id"], ended.json()["state"]) == (202, first.json()["id"], "succeeded")
    api.redis.flushall()
    wiped = send(reference="R 1", metadata='{"a": 1, "b": 2}')
    assert (wiped.status, wiped.json()) == (202, ended.json())


@pytest.mark.parametrize("wiped", [False, True])
def test_another_submission_with_the_same_key_is_refused(api: Api, send, wiped: bool):
    first = send(reference="R 1").json()
    if wiped:
        api.redis.flushall()
    for answer in (send(), send(reference="R 2"), send(OTHER, reference="R 1")):
        assert (answer.status, problem_of(answer)["type"]) == (422, "/problems/key-reused")
    assert send(reference="R 1").json()["id"] == first["id"]


def test_the_same_key_of_another_client_is_another_key(api: Api, send):
    other = Keys(api.records).create("another")
    assert send().json()["id"] != send(OTHER, key=other).json()["id"]


def test_of_fifty_equal_submissions_at_once_one_becomes_a_job(api: Api, send):
    key = Keys(api.records).create("crowd")
    before = set(jobs_of(api, key))
    together = Barrier(50)

    def submit(_: int):
        together.wait()
        return send(key=key)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(submit, range(50)))
    statuses = Counter(answer.status for answer in answers)
    assert statuses.keys() <= {202, 409}
    assert all(problem_of(a)["type"] == "/problems/in-intake" for a in answers if a.status == 409)
    ids = {answer.json()["id"] for answer in answers if answer.status == 202}
    assert set(jobs_of(api, key)) - before == ids
    assert len(ids) == 1
    again = send(key=key)
    assert (again.status, again.json()["id"]) == (202, ids.pop())


def claim_key_of(send, request) -> str:
    name = request.node.name
    if "own id" in name:
        return own_id_claim_key("clinic", "".join(c for c in name if c.isalnum()))
    return idempotency_claim_key("clinic", name)


def interrupted(ledger: Ledger, send, request, ago: timedelta) -> str:
    """Leave a claim without a record, as a process does that dies between both. Returns the job id."""
    job_id = send().json()["id"]
    claim = ledger.claims.read(claim_key_of(send, request))
    ledger.records.change(claim.key, lambda _: replace(claim, claimed_at=now() - ago).to_json())
    listed = f"clients/clinic/jobs/{job_id.removeprefix('job_').translate(INVERTED)}"
    for key in (listed, f"pending/{job_id}"):
        ledger.objects.delete(key)
    ledger.view.redis.flushall()
    return job_id


def test_a_repeat_during_intake_is_answered_in_intake(api: Api, ledger: Ledger, send, request):
    interrupted(ledger, send, request, ago=INTAKE / 2)
    answer = send()
    assert (answer.status, problem_of(answer)["type"]) == (409, "/problems/in-intake")
    assert answer.headers["Retry-After"] == "1"
    assert send(OTHER).status == 422


def test_a_repeat_of_an_interrupted_intake_gets_its_job_id(api: Api, ledger: Ledger, send, request):
    job_id = interrupted(ledger, send, request, ago=INTAKE + timedelta(seconds=1))
    answer = send()
    assert (answer.status, answer.json()["id"]) == (202, job_id)
    assert api.request("GET", f"/v1/jobs/{job_id}/image").data == PNG


def test_a_key_of_an_intake_interrupted_long_ago_is_free(api: Api, ledger: Ledger, send, request):
    job_id = interrupted(ledger, send, request, ago=ABANDONED + timedelta(seconds=1))
    answer = send(OTHER)
    assert answer.status == 202
    assert answer.json()["id"] != job_id
    assert send(OTHER).json()["id"] == answer.json()["id"]


def test_a_key_is_free_once_its_job_is_deleted(api: Api, ledger: Ledger, send, request):
    job_id = send().json()["id"]
    assert api.request("DELETE", f"/v1/jobs/{job_id}").status == 204
    assert ledger.claims.read(claim_key_of(send, request)) is None
    assert only_a_tombstone_is_left(job_id, ledger)
    assert send(OTHER).json()["id"] != job_id


def test_a_refused_submission_leaves_its_key_free(api: Api, send):
    assert send(b"no image").status == 415
    assert send().status == 202


def test_a_key_is_free_after_the_time_that_the_answer_names(api: Api, ledger: Ledger, request, monkeypatch):
    headers = {"Idempotency-Key": request.node.name}
    first = api.request("POST", "/v1/jobs", headers=headers, body=PNG)
    job = ledger.read(first.json()["id"])
    claim = ledger.claims.read(job.claim)
    assert claim.expires_at - job.created_at == timedelta(days=7)
    assert first.headers["Idempotency-Expires"].startswith(claim.expires_at.strftime("%Y-%m-%dT%H:%M:%S"))
    ledger.records.change(claim.key, lambda _: replace(claim, expires_at=now()).to_json())
    second = api.request("POST", "/v1/jobs", headers=headers, body=OTHER)
    assert (second.status, second.json()["id"] == job.id) == (202, False)
    for _ in range(2):
        monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + timedelta(days=7, minutes=1))
        purge(ledger, UNUSED)
        assert ledger.claims.read(claim.key) is None
    assert ledger.read(job.id) == job, "the job itself is kept"


def test_a_job_is_found_by_its_clients_own_id(api: Api, ledger: Ledger):
    fields = {"image": ("x.png", PNG), "callback_url": "https://clinic.example/hook"}
    job = api.request("PUT", "/v1/jobs/case-7.a", fields=fields).json()
    other = Keys(api.records).create("another")
    assert job["own_id"] == "case-7.a"
    record = ledger.read(job["id"])
    assert event_of(record, ledger, "", now())["data"]["own_id"] == "case-7.a"
    assert "case-7.a" not in repr(record.erased(now()))
    assert api.request("GET", "/v1/jobs/case-7.a").json() == job
    assert api.request("GET", "/v1/jobs/case-7.a/image").data == PNG
    assert api.request("GET", "/v1/jobs/case-7.a", key=other).status == 404
    assert api.request("POST", "/v1/jobs/case-7.a/cancel").json()["id"] == job["id"]
    assert api.request("POST", "/v1/jobs/case-7.a/redeliver").json()["id"] == job["id"]
    assert api.request("DELETE", "/v1/jobs/case-7.a").status == 204
    assert api.request("GET", "/v1/jobs/case-7.a").status == 404
    assert api.request("GET", f"/v1/jobs/{job['id']}").status == 410


def test_an_own_id_is_not_in_the_log(api: Api):
    api.request("PUT", "/v1/jobs/DOE-4711", fields={"image": ("x.png", PNG)})
    line = api.accessed(api.request("GET", "/v1/jobs/DOE-4711/image"))
    assert (line["path"], line["status"]) == ("/v1/jobs/-/image", 200)
    assert "DOE-4711" not in api.log.read_text()
    assert not any("DOE-4711" in key for key in api.objects.keys(""))


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("PUT", "/v1/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV", None),  # pragma: allowlist secret
        ("PUT", "/v1/jobs/-x", None),
        ("PUT", f"/v1/jobs/{'x' * 129}", None),
        ("PUT", "/v1/jobs/a%20b", None),
        ("PUT", "/v1/jobs/fine", "and a key"),
        ("POST", "/v1/jobs", "x" * 256),
        ("POST", "/v1/jobs", "n\xe4me"),
        ("POST", "/v1/jobs", ""),
    ],
)
def test_a_malformed_key_is_refused_and_nothing_is_stored(api: Api, method: str, path: str, key):
    before = api.traces()
    headers = {"Idempotency-Key": key.encode("latin-1")} if key is not None else None
    answer = api.request(method, path, headers=headers, body=PNG)
    assert (answer.status, problem_of(answer)["type"]) == (400, "/problems/malformed")
    assert api.traces() == before


def test_a_repeat_is_answered_while_the_queue_is_full(settings, ledger, queue):
    ledger.objects.make_bucket()
    keys = Keys(ledger.records)
    client = client_of(replace(settings, max_queue=1), ledger, queue, keys)
    named = {"headers": {"Idempotency-Key": "full"}, "content_type": "image/png"}
    first = client.post("/v1/jobs", data=PNG, **named)
    assert first.status_code == 202
    assert client.post("/v1/jobs", data=PNG, content_type="image/png").status_code == 503
    again = client.post("/v1/jobs", data=PNG, **named)
    assert (again.status_code, again.json["id"]) == (202, first.json["id"])


def test_a_key_identifies_one_job_while_redis_is_away(settings, ledger):
    keys = Keys(ledger.records)
    without = Ledger(ledger.objects, View.connect(NO_REDIS, 60))
    client = client_of(settings, without, JobQueue.connect(NO_REDIS), keys)
    named = {"headers": {"Idempotency-Key": "away"}, "content_type": "image/png"}
    first = client.post("/v1/jobs", data=PNG, **named)
    again = client.post("/v1/jobs", data=PNG, **named)
    assert (first.status_code, again.status_code, again.json["id"]) == (202, 202, first.json["id"])
    assert without.read(first.json["id"]).state is State.QUEUED
