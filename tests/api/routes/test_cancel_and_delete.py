"""Tests the cancellation and the deletion of jobs, over HTTP."""

import pytest

from admin.keys import Keys
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.redis.queue import DELIVER
from jobs.store.ledger import Ledger
from tests import pictures
from tests.api.conftest import RESULT, Api, problem_of
from tests.conftest import only_a_tombstone_is_left

PNG = pictures.encoded(pictures.gray())


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def job(api: Api, ledger: Ledger) -> Job:
    return ledger.read(api.submit(PNG, callback_url="https://clinic.example/hook").json()["id"])


def cancel(api: Api, job: Job, **kwargs):
    return api.request("POST", f"/v1/jobs/{job.id}/cancel", **kwargs)


def test_a_waiting_job_is_canceled_at_once_and_its_callback_is_due(api: Api, ledger: Ledger, job: Job):
    answer = cancel(api, job)
    assert (answer.status, answer.json()["state"], answer.json()["error"]["type"]) == (
        200,
        "canceled",
        "canceled",
    )
    assert answer.json()["queue_position"] is None
    assert ledger.view.client_queues.waiting_beside("clinic")[0] == 0
    assert api.redis.llen(DELIVER) == 1
    assert api.request("GET", f"/v1/jobs/{job.id}").json()["state"] == "canceled"
    assert problem_of(api.request("GET", f"/v1/jobs/{job.id}/result"))["error"]["type"] == "canceled"


def test_a_canceled_job_without_a_callback_is_settled(api: Api, ledger: Ledger):
    job = ledger.read(api.submit(PNG).json()["id"])
    assert cancel(api, job).status == 200
    assert job.id not in ledger.pending()


def test_a_job_that_is_being_analysed_is_canceled(api: Api, ledger: Ledger, job: Job):
    ledger.append(job.started("inference:here:1", now()))
    answer = cancel(api, job)
    assert (answer.status, answer.json()["state"], answer.json()["attempts"]) == (202, "canceled", 1)
    assert ledger.read(job.id).state is State.CANCELED


def test_a_job_is_canceled_while_the_view_is_out_of_date(api: Api, ledger: Ledger, job: Job):
    ledger.append(job.started("inference:here:1", now()))
    api.redis.delete(f"job:{job.id}")
    ledger.view.put(job)
    assert cancel(api, job).status == 202


def test_a_job_that_has_ended_cannot_be_canceled(api: Api, ledger: Ledger, job: Job):
    ended = ledger.append(ledger.append(job.started("w", now())).failed("not-a-radiograph", "No.", now()))
    answer = cancel(api, job)
    assert (answer.status, problem_of(answer)["type"]) == (409, "/problems/job-ended")
    assert ledger.read(job.id) == ended


def erase(api: Api, job: Job, **kwargs):
    return api.request("DELETE", f"/v1/jobs/{job.id}", **kwargs)


def routes_of_a_job(api: Api) -> list[tuple[str, str]]:
    return [
        (method.upper(), path)
        for path, item in api.request("GET", "/openapi.json", key="").json()["paths"].items()
        if "{job_id}" in path
        for method in item.keys() & {"get", "post", "patch", "delete"}
    ]


@pytest.mark.parametrize("how_far", ["waits", "is at work", "has ended", "is delivered"])
def test_only_the_tombstone_of_a_deleted_job_is_left(api: Api, ledger: Ledger, how_far: str):
    answer = api.submit(
        PNG, callback_url="https://clinic.example/hook", reference="Doe-4711", retention_seconds="60"
    )
    job = ledger.read(answer.json()["id"])
    if how_far != "waits":
        job = ledger.append(job.started("w", now()))
    if how_far in ("has ended", "is delivered"):
        job = ledger.append(job.failed("worker-lost", "Lost.", now()))
    if how_far == "is delivered":
        begun = ledger.append(job.delivery_begun(now()))
        job = ledger.append(begun.delivered({"status": 200}))
    answer = erase(api, job)
    assert (answer.status, answer.data) == (204, b"")
    assert only_a_tombstone_is_left(job.id, ledger)
    assert b"Doe-4711" not in b"".join(api.objects.get(key) for key in api.objects.keys("jobs/"))
    values = [api.redis.dump(key) for key in api.redis.scan_iter(match=f"*{job.id}*")]
    assert not any(b"Doe" in value for value in values)
    assert ledger.view.client_queues.waiting_beside("clinic")[0] == 0
    assert job.id not in [seen["id"] for seen in api.request("GET", "/v1/jobs").json()["jobs"]]


def test_every_route_of_a_deleted_job_answers_gone_to_its_owner_alone(api: Api, ledger: Ledger):
    job_id = api.submit(PNG).json()["id"]
    ledger.append(ledger.append(ledger.read(job_id).started("w", now())).succeeded(RESULT, now()))
    other = Keys(api.records).create("another")
    assert api.request("DELETE", f"/v1/jobs/{job_id}").status == 204
    routes = routes_of_a_job(api)
    assert len(routes) > 5
    for wiped in (False, True):
        if wiped:
            api.redis.flushall()
        for method, path in routes:
            here = path.replace("{job_id}", job_id)
            answer = api.request(method, here)
            assert (answer.status, problem_of(answer)["type"]) == (410, "/problems/gone"), (method, path)
            assert api.request(method, here, key=other).status == 404, (method, path)


def test_another_client_cannot_end_a_job(api: Api, ledger: Ledger, job: Job):
    other = Keys(api.records).create("another")
    for end in (cancel, erase):
        answer = end(api, job, key=other)
        assert (answer.status, problem_of(answer)["type"]) == (404, "/problems/no-such-job")
    assert ledger.read(job.id) == job
