import json

import pytest

from jobs.lifecycle.manual_retry import retry_job
from jobs.record.ids import new_id
from jobs.record.job import now
from jobs.record.states import Delivery, State
from jobs.redis.queue import INFER_ROUTINE
from tests.conftest import a_job, run_command


@pytest.fixture
def given_up(ledger):
    """Two jobs that lost their workers, and one that failed by a fault of its submission."""
    jobs = []
    for type_ in ("worker-lost", "not-a-radiograph", "internal-error"):
        job = a_job(callback_url="https://clinic.example/", reference="patient 7")
        ledger.accept(job, b"image")
        ended = ledger.append(ledger.append(job.started("w", now())).failed(type_, "It broke.", now()))
        begun = ledger.append(ended.delivery_begun(now()))
        ledger.settle(ledger.append(begun.delivered()))
        jobs.append(begun)
    return [jobs[0], jobs[2]], jobs[1]


@pytest.fixture
def command(settings):

    def run(*arguments: str) -> tuple[int, list[dict], str]:
        done = run_command(settings, "admin.dead_letters", *arguments)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return run


def test_a_dead_letter_is_listed_with_its_reason(given_up, command):
    dead, _ = given_up
    code, lines, _ = command("list")
    assert code == 0
    assert [line["id"] for line in lines] == [job.id for job in dead]
    assert lines[0]["error"] == {"type": "worker-lost", "detail": "It broke."}
    assert "patient" not in json.dumps(lines)
    _, versions, _ = command("show", dead[0].id)
    assert [version["state"] for version in versions] == ["queued", "running", *["failed"] * 3]


def test_all_dead_letters_are_retried_and_end_anew(given_up, command, ledger, redis):
    dead, own_fault = given_up
    code, lines, _ = command("retry", "--all")
    assert (code, [line["retries"] for line in lines]) == (0, [1, 1])
    assert list(ledger.pending()) == [job.id for job in dead]
    assert redis.llen(INFER_ROUTINE) == 2
    again = ledger.read(dead[0].id)
    assert (again.state, again.delivery, again.attempts) == (State.QUEUED, Delivery.PENDING, 0)
    assert ledger.read(own_fault.id).state is State.FAILED
    assert command("list")[1] == []


def test_a_job_that_fails_again_during_its_retry_stays_a_dead_letter(given_up, ledger, monkeypatch):
    (dead, _), _ = given_up
    mark = ledger.mark

    def mark_and_fail(job):
        mark(job)
        if (present := ledger.read(dead.id)).state is State.QUEUED:
            ledger.append(ledger.append(present.started("w", now())).failed("worker-lost", "Again.", now()))

    with monkeypatch.context() as patched:
        patched.setattr(ledger, "mark", mark_and_fail)
        retry_job(ledger.read(dead.id), ledger)
    assert dead.id in {job.id for job in ledger.dead_letters()}


def test_one_dead_letter_is_retried_and_other_jobs_are_refused(given_up, command):
    dead, own_fault = given_up
    code, lines, _ = command("retry", dead[1].id, dead[1].id)
    assert (code, len(lines)) == (0, 1), "named twice, retried once"
    assert [line["id"] for line in command("list")[1]] == [dead[0].id]
    code, _, errors = command("retry", own_fault.id)
    assert (code, "no dead letter" in errors) == (1, True)
    assert command("show", new_id("job"))[0] == 1
    assert command("show", "../x")[0] == 2
    assert command("retry")[0] == 2
