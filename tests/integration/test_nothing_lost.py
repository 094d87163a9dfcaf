"""What has been accepted ends, once, whatever dies in between."""

import json
import os
import signal

import pytest
from redis import Redis

from jobs.job import Job
from jobs.objects import Objects
from jobs.states import State
from stack.receiver import Receiver
from tests.integration.conftest import Stack, await_that

JOBS = 20


@pytest.fixture
def objects(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Objects:
    """The stack's own object store, as an operator sees it."""
    secrets = json.loads((stack.folder / "secrets.json").read_text())
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", secrets["s3_access_key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secrets["s3_secret_key"])
    return Objects.connect(stack.ready["s3"], "osteo")


def test_a_worker_killed_amid_its_jobs_loses_none(stack: Stack, receiver: Receiver, objects: Objects):
    ids = [stack.submit(callback_url=receiver.url)["id"] for _ in range(JOBS)]
    await_that(lambda: "succeeded" in states(stack, ids) and "running" in states(stack, ids))
    os.kill(stack.ready["pids"]["worker"], signal.SIGKILL)
    held = states(stack, ids).count("running")
    jobs = [stack.settled(job_id) for job_id in ids]
    assert held > 0, "the worker held nothing when it was killed: this has shown nothing"
    assert [job["state"] for job in jobs] == ["succeeded"] * JOBS
    assert sum(job["attempts"] for job in jobs) == JOBS + held
    for job_id in ids:
        assert_ended_once(objects, job_id)
        assert len(receiver.of(job_id)) == 1
    assert list(objects.keys("pending/")) == []


def test_a_wipe_of_redis_with_jobs_queued_loses_none(stack: Stack, receiver: Receiver, objects: Objects):
    ids = [stack.submit(callback_url=receiver.url)["id"] for _ in range(JOBS)]
    Redis.from_url(stack.ready["redis"]).flushall()
    waiting = states(stack, ids).count("queued")
    jobs = [stack.settled(job_id) for job_id in ids]
    assert waiting > 0, "no job was queued when Redis was wiped: this has shown nothing"
    assert [job["state"] for job in jobs] == ["succeeded"] * JOBS
    for job_id in ids:
        assert_ended_once(objects, job_id)
        # A callback under way while its lock was wiped may come again, under the same id.
        assert len({callback.webhook_id for callback in receiver.of(job_id)}) == 1
    assert list(objects.keys("pending/")) == []


def assert_ended_once(objects: Objects, job_id: str) -> None:
    """The ledger holds every version of the job, and among them one in which it ended."""
    versions = [Job.from_json(objects.get(key)) for key in objects.keys(f"jobs/{job_id}/ledger/")]
    assert [job.version for job in versions] == list(range(1, len(versions) + 1))
    assert sum(job.state is State.RUNNING for job in versions) == versions[-1].attempts
    assert sum(job.state.final and job.delivery_attempts == 0 for job in versions) == 1


def states(stack: Stack, ids: list[str]) -> list[str]:
    found: list[str] = [stack.job(job_id)["state"] for job_id in ids]
    return found
