import json
from dataclasses import replace
from datetime import timedelta

import pytest
from ulid import ULID

from jobs.record.errors import IllegalMove
from jobs.record.ids import first_id, is_id, made_at, new_id
from jobs.record.job import Job, now
from jobs.record.states import Delivery, State
from tests.conftest import a_job

RESULT = {"finding": "fracture"}


def test_the_first_id_of_a_moment_lies_between_those_before_and_those_from_then_on():
    moment = now()
    first = first_id("job", moment)
    assert is_id("job", first)
    assert made_at(first) == moment
    assert f"job_{ULID.from_datetime(moment - timedelta(milliseconds=1))}" < first
    assert first <= f"job_{ULID.from_datetime(moment)}"
    assert made_at(first_id("job", moment + timedelta(microseconds=1))) == moment + timedelta(milliseconds=1)


def test_a_job_counts_versions_and_attempts_on_its_way():
    job = a_job(callback_url="https://clinic.example/hook")
    ended = job.started("w", now()).handed_back(now()).started("w", now()).succeeded(RESULT, now())
    assert (ended.version, ended.attempts, ended.state) == (5, 2, State.SUCCEEDED)
    assert ended.next_delivery_at == ended.finished_at
    assert not ended.settled
    assert ended.delivered().settled


def test_a_job_without_a_callback_is_settled_when_it_ends():
    ended = a_job().started("w", now()).failed("worker-lost", "why", now())
    assert ended.settled
    assert ended.error == {"type": "worker-lost", "detail": "why"}


@pytest.mark.parametrize(
    "move",
    [
        lambda job: job.succeeded(RESULT, now()),
        lambda job: job.handed_back(now()),
        lambda job: job.started("w", now()).started("w", now()),
        lambda job: job.started("w", now()).succeeded(RESULT, now()).failed("x", "y", now()),
        lambda job: job.delivered(),
        lambda job: job.started("w", now()).succeeded(RESULT, now()).delivered(),
    ],
)
def test_a_move_that_the_table_does_not_know_is_refused(move):
    with pytest.raises(IllegalMove):
        move(a_job())


def test_a_record_reads_back_as_it_was_written():
    job = a_job(callback_url="https://clinic.example/", metadata={"a": [1]}, reference="Ü 7")
    postponed = job.started("w", now()).succeeded(RESULT, now()).delivery_begun(now())
    assert Job.from_json(postponed.to_json()) == postponed
    assert postponed.delivery is Delivery.PENDING


def test_a_record_of_a_later_version_of_the_program_is_still_read():
    job = a_job()
    raw = json.loads(job.to_json()) | {"something_new": 1}
    read = Job.from_json(json.dumps(raw).encode())
    assert replace(read, later={}) == job
    passed_on = json.loads(read.started("w", now()).to_json())
    assert passed_on["something_new"] == 1, "an older worker lost what a newer one wrote"
    assert "later" not in passed_on


def test_only_a_dead_letter_is_retried_and_is_then_as_new():
    started = a_job(callback_url="https://clinic.example/", expires_at=now()).started("w", now())
    dead = started.failed("worker-lost", "why", now()).delivered()
    again = dead.retried(now())
    assert (again.state, again.delivery, again.attempts, again.retries) == ("queued", "pending", 0, 1)
    assert again.error is None
    assert not again.dead_letter
    for other in (started, started.succeeded(RESULT, now()), started.failed("not-a-radiograph", "", now())):
        with pytest.raises(IllegalMove):
            other.retried(now())


def test_job_ids_are_told_from_other_texts_and_carry_their_time():
    job_id = new_id("job")
    assert is_id("job", job_id)
    assert abs((made_at(job_id) - now()).total_seconds()) < 60
    for other in (
        "",
        "job_",
        "job_../../x",
        job_id.lower(),
        job_id + "A",
        "job_" + "Z" * 26,
        "job_" + "U" * 26,
    ):
        assert not is_id("job", other), other
