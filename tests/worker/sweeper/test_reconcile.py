from contextlib import suppress
from datetime import timedelta

import pytest

from jobs.record.errors import StoreUnavailable
from jobs.record.job import now
from jobs.record.states import State
from jobs.store.clock import Clock
from tests.conftest import a_job, a_study
from worker.sweeper.reconcile import reconcile
from worker.sweeper.sweep import Sweeper, sweep


@pytest.fixture
def sweeper(ledger, queue) -> Sweeper:
    return Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))


def test_a_wipe_makes_the_agenda_stale_until_a_pass_is_complete(sweeper, ledger, redis):
    assert ledger.view.agenda.stale(600)
    reconcile(sweeper)
    assert not ledger.view.agenda.stale(600)
    assert ledger.view.agenda.stale(0), "the last pass is older than that"
    redis.flushall()
    assert ledger.view.agenda.stale(600)


def test_another_redis_in_its_place_makes_the_agenda_stale(sweeper, ledger, redis):
    reconcile(sweeper)
    # As in a replica that was promoted, or a snapshot that was loaded.
    redis.hset("reconciled", "server", "0" * 40)
    assert ledger.view.agenda.stale(600)


def test_a_wipe_during_a_pass_keeps_the_agenda_stale(sweeper, ledger, redis, monkeypatch):
    ledger.accept(a_job(), b"image")
    redis.flushall()
    pending = ledger.pending

    def wiped():
        yield from pending()
        redis.flushall()

    monkeypatch.setattr(ledger, "pending", wiped)
    reconcile(sweeper)
    assert ledger.view.agenda.stale(600)
    monkeypatch.undo()
    reconcile(sweeper)
    assert not ledger.view.agenda.stale(600)
    assert ledger.view.client_queues.waiting_beside("clinic")[0] == 1


def test_every_state_is_rebuilt_after_a_wipe(sweeper, ledger, queue, redis):
    waiting, at_work, owed, ended = (a_job(callback_url="https://clinic.example/") for _ in range(4))
    for job in (waiting, at_work, owed, ended):
        ledger.accept(job, b"image")
    ledger.append(at_work.started("inference:here:1", now()))
    result = {"finding": "fracture"}
    done = ledger.append(ledger.append(owed.started("w", now())).succeeded(result, now()))
    ledger.append(done.delivery_begun(now() + timedelta(hours=1)))
    over = ledger.append(ledger.append(ended.started("w", now())).succeeded(result, now()))
    ledger.append(ledger.append(over.delivery_begun(now())).delivered())
    redis.flushall()
    reconcile(sweeper)
    sweep(sweeper)
    assert {job_id for _, job_id in queue.waiting()} == {waiting.id}
    assert ledger.view.jobs_of_runner("inference:here:1") == {at_work.id}
    assert ledger.view.heartbeats.missing() >= {"inference:here:1"}, "until it beats"
    assert set(ledger.pending()) == {waiting.id, at_work.id, owed.id}
    shown = ledger.view.get_many([at_work.id, owed.id, ended.id])
    assert [job.state for job in shown] == [State.RUNNING, State.SUCCEEDED, State.SUCCEEDED]
    assert redis.zcard("callbacks:clinic:https://clinic.example:443") == 1


def test_a_study_that_missed_the_end_of_its_last_job_is_concluded(sweeper, ledger, redis, monkeypatch):
    study, jobs = a_study(2)
    ledger.accept_study(study, ((job, b"image") for job in jobs))
    assert ledger.view.agenda.waits(study)
    for job in jobs:
        ledger.settle(ledger.append(ledger.append(job.started("w", now())).failed("x", "It broke.", now())))
    redis.zadd("agenda", {study.id: "+inf"})
    reconcile(sweeper)
    assert ledger.read(study.id).state is State.FAILED


def test_a_clock_ahead_ends_and_erases_nothing_after_a_wipe(sweeper, ledger, redis, monkeypatch):
    waiting = a_job(expires_at=now() + timedelta(minutes=10))
    at_work, in_intake = a_job(), a_job()
    for job in (waiting, at_work):
        ledger.accept(job, b"image")
    ledger.append(at_work.started("inference:here:1", now()))
    ledger.mark(in_intake)
    (study, jobs) = a_study(1)
    ledger.mark(study)
    ledger.accept(jobs[0], b"image")
    redis.flushall()
    for module in ("worker.sweeper.sweep", "jobs.store.clock"):
        monkeypatch.setattr(f"{module}.now", lambda: now() + timedelta(minutes=20))
    reconcile(sweeper)
    assert [ledger.read(job.id).state for job in (waiting, at_work, *jobs)] == [
        State.QUEUED,
        State.RUNNING,
        State.QUEUED,
    ]
    assert {in_intake.id, study.id} <= set(ledger.pending())


def test_studies_that_the_store_cannot_serve_keep_no_pass_from_its_end(sweeper, ledger, monkeypatch):
    studies, clock = [a_study(1)[0] for _ in range(4)], now()
    for study in studies:
        ledger.accept(study, b"")  # Their jobs have ended, and have left the agenda.

    def fails(_: str) -> None:
        raise StoreUnavailable("the object store answered InternalError")

    monkeypatch.setattr(ledger, "read", fails)
    for number in range(4):
        monkeypatch.setattr(Clock, "earliest", lambda _, n=number: clock + timedelta(seconds=2 * n))
        with suppress(StoreUnavailable):
            reconcile(sweeper)
    assert not ledger.view.agenda.stale(600)
