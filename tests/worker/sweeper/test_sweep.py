from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from math import inf
from types import SimpleNamespace

import pytest
from ulid import ULID

from jobs.record.errors import QueueUnavailable, StoreUnavailable
from jobs.record.job import LEFTOVER_GRACE, now
from jobs.record.job_json import job_to_json
from jobs.record.states import Delivery, Priority, State
from jobs.redis.agenda import AGENDA, DOUBT
from jobs.redis.queue import INFER_ROUTINE
from jobs.redis.receiver_circuit_breaker import FAILURES
from jobs.store.clock import Clock
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import image_key, marker_key
from tests.conftest import a_job, a_study
from tests.worker.conftest import after_a_while
from worker.sweeper.reconcile import reconcile
from worker.sweeper.sweep import Sweeper, sweep

LONG_AGO = now() - timedelta(minutes=30)
RESULT = {"finding": "fracture"}


@pytest.fixture
def sweeper(ledger, queue) -> Sweeper:
    """A sweeper that has missed the heartbeat of `inference:gone:1` for long."""
    missing = {"inference:gone:1": LONG_AGO}
    return Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60), missing=missing)


def enqueued(queue) -> set[str]:
    return {job_id for _, job_id in queue.waiting()}


def lose_message(job, redis) -> None:
    """Remove the message of a job, and make it appear to have been sent long ago."""
    redis.delete(INFER_ROUTINE)
    redis.zadd(f"sent:{job.priority}", {job.id: LONG_AGO.timestamp()})


def accepted(ledger, **changes):
    job = a_job(**changes)
    ledger.accept(job, b"image")
    return job


def test_a_queued_job_without_a_message_is_enqueued_once(ledger, queue, sweeper):
    job = accepted(ledger, queued_at=LONG_AGO)
    for _ in range(3):
        sweep(sweeper)
    assert enqueued(queue) == {job.id}


def test_a_job_whose_message_was_lost_is_enqueued_again(ledger, queue, sweeper, redis):
    job = accepted(ledger)
    queue.feed(job.client, job.priority)
    redis.delete(INFER_ROUTINE)
    sweep(sweeper)
    assert enqueued(queue) == set(), "it may be just on its way to a worker"
    lose_message(job, redis)
    sweep(sweeper)
    assert enqueued(queue) == {job.id}


def test_a_job_past_its_deadline_expires_though_it_waits_in_the_queue(ledger, queue, sweeper):
    late = accepted(ledger, expires_at=LONG_AGO)
    early = accepted(ledger, expires_at=now() + timedelta(hours=1))
    queue.feed("clinic", Priority.ROUTINE)
    sweep(sweeper)
    assert ledger.read(late.id).state is State.EXPIRED
    assert ledger.read(early.id).state is State.QUEUED
    sweep(sweeper)
    assert list(ledger.pending()) == [early.id]


def test_a_job_that_waits_in_the_queue_is_left_alone(ledger, queue, sweeper, redis):
    accepted(ledger, queued_at=LONG_AGO)
    queue.feed("clinic", Priority.ROUTINE)
    sweep(sweeper)
    assert redis.llen("infer.routine") == 1


def test_a_wiped_redis_is_rebuilt_from_the_markers(ledger, queue, sweeper, redis):
    jobs = [accepted(ledger, queued_at=LONG_AGO) for _ in range(5)]
    redis.flushall()
    reconcile(sweeper)
    sweep(sweeper)
    assert enqueued(queue) == {job.id for job in jobs}
    assert all(ledger.view.get_many([job.id for job in jobs]))
    assert ledger.view.client_queues.waiting_beside("clinic")[0] == 5


def test_a_job_whose_worker_is_lost_goes_back_into_the_queue(ledger, queue, sweeper):
    job = accepted(ledger)
    ledger.append(job.started("inference:gone:1", LONG_AGO))
    sweep(sweeper)
    back = ledger.read(job.id)
    assert (back.state, back.attempts) == (State.QUEUED, 1)
    assert enqueued(queue) == {job.id}


def test_a_job_whose_worker_is_lost_does_not_wait_for_the_round_to_end(ledger, sweeper, monkeypatch):
    monkeypatch.setattr("worker.sweeper.sweep.CHUNK", 1)
    job, leftovers = accepted(ledger), [a_job(), a_job()]
    for leftover in leftovers:
        ledger.mark(leftover)
        ledger.view.agenda.add(leftover.id, after=timedelta(0))
    read, checked = ledger.read, []

    def reading(job_id: str):
        if not checked:
            ledger.append(job.started("inference:gone:1", now()))
            sweeper.missing["inference:gone:1"] = LONG_AGO
        checked.append(job_id)
        return read(job_id)

    monkeypatch.setattr(ledger, "read", reading)
    sweep(sweeper)
    assert [checked[0], checked[2]] == [leftover.id for leftover in leftovers]
    assert checked[1] == job.id
    assert read(job.id).state is State.QUEUED


def test_a_job_whose_worker_lives_is_left_alone_until_it_takes_too_long(ledger, queue, sweeper):
    ledger.view.heartbeats.beat("inference:here:1")
    quick, slow = accepted(ledger), accepted(ledger)
    ledger.append(quick.started("inference:here:1", now() - timedelta(seconds=30)))
    ledger.append(slow.started("inference:here:1", now() - timedelta(seconds=61)))
    sweep(sweeper)
    assert enqueued(queue) == {slow.id}
    assert ledger.read(quick.id).state is State.RUNNING


def test_a_job_that_loses_three_workers_fails_and_is_not_requeued(ledger, sweeper, queue):
    job = accepted(ledger)
    for _ in range(3):
        ledger.append(ledger.read(job.id).started("inference:gone:1", LONG_AGO))
        sweeper.missing["inference:gone:1"] = LONG_AGO
        sweep(sweeper)
    failed = ledger.read(job.id)
    assert (failed.state, failed.attempts, failed.error["type"]) == (State.FAILED, 3, "worker-lost")
    assert list(ledger.pending()) == []


def test_a_result_that_comes_after_the_job_was_taken_away_is_void(ledger, sweeper):
    job = accepted(ledger)
    running = ledger.append(job.started("inference:gone:1", LONG_AGO))
    sweep(sweeper)
    with pytest.raises(Exception, match="version 3"):
        ledger.append(running.succeeded(RESULT, now()))


def test_a_due_callback_is_enqueued_and_a_later_one_is_not(ledger, sweeper, queue):
    ids = []
    for due in (now(), now() + timedelta(hours=1)):
        job = accepted(ledger, callback_url="https://clinic.example/")
        ended = ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
        ledger.append(replace(ended, version=4, next_delivery_at=due))
        ids.append(job.id)
    sweep(sweeper)
    assert enqueued(queue) == {ids[0]}
    assert ledger.read(ids[1]).delivery is Delivery.PENDING


def test_a_callback_to_a_receiver_that_is_paused_waits(ledger, sweeper, queue):
    job = accepted(ledger, callback_url="https://dead.example/")
    ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    for _ in range(FAILURES):
        ledger.view.circuit_breaker.count("clinic", "https://dead.example:443", answered=False)
    sweep(sweeper)
    assert enqueued(queue) == set()


def test_a_job_that_ended_unseen_while_redis_was_away_is_found(ledger, sweeper, queue):
    job = accepted(ledger, callback_url="https://clinic.example/")
    ledger.view.heartbeats.beat("inference:here:1")
    running = ledger.append(job.started("inference:here:1", now() - DOUBT - timedelta(seconds=1)))
    view = SimpleNamespace(lock_version=lambda *_: True, put=silent, redis=ledger.view.redis)
    away = Ledger(ledger.objects, view)
    away.append(running.succeeded(RESULT, now()))
    assert ledger.current(job.id).state is State.RUNNING
    sweep(sweeper)
    assert ledger.current(job.id).state is State.SUCCEEDED
    assert enqueued(queue) == {job.id}


def silent(*_) -> None:
    raise QueueUnavailable("away")


def test_a_view_that_lags_behind_the_ledger_is_updated(ledger, sweeper, redis):
    job = accepted(ledger, queued_at=LONG_AGO)
    ledger.append(job.started("w", now()).succeeded(RESULT, now()))
    redis.delete(f"job:{job.id}")
    ledger.view.put(job)
    sweep(sweeper)
    lose_message(job, redis)  # A worker took it, and found the version written.
    sweep(sweeper)
    assert ledger.current(job.id).state is State.SUCCEEDED
    sweep(sweeper)
    assert list(ledger.pending()) == []


def test_an_interrupted_submission_is_erased_after_its_time_of_grace(ledger, sweeper, redis):
    old = f"job_{ULID.from_datetime(now() - LEFTOVER_GRACE - timedelta(minutes=1))}"
    for job in (a_job(id=old), a_job()):
        ledger.accept(job, b"the beginning")
        redis.delete(f"job:{job.id}", AGENDA)
    reconcile(sweeper)
    (left,) = ledger.pending()
    assert left != old
    assert not any(old in key for key in ledger.objects.keys(""))


def test_a_wipe_of_redis_takes_no_job_from_a_worker_that_lives(ledger, queue, sweeper, redis):
    job = accepted(ledger)
    ledger.append(job.started("inference:here:1", now() - timedelta(seconds=30)))
    redis.flushall()
    reconcile(sweeper)
    sweep(sweeper)
    assert set(sweeper.missing) == {"inference:here:1"}
    ledger.view.heartbeats.beat("inference:here:1")
    sweep(sweeper)
    assert sweeper.missing == {}
    assert ledger.read(job.id).state is State.RUNNING
    assert enqueued(queue) == set()


def test_a_record_that_does_not_parse_holds_up_no_other_job(ledger, queue, sweeper, redis):
    broken, whole = accepted(ledger, queued_at=LONG_AGO), accepted(ledger, queued_at=LONG_AGO)
    assert broken.id < whole.id
    ledger.objects.put(f"jobs/{broken.id}/ledger/000002", b'{"id": ')
    redis.flushall()
    reconcile(sweeper)
    sweep(sweeper)
    assert enqueued(queue) == {whole.id}


def test_a_callback_is_sent_though_an_older_message_of_its_job_waits(ledger, queue, sweeper):
    job = accepted(ledger, callback_url="https://clinic.example/")
    queue.feed(job.client, job.priority)
    ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    sweep(sweeper)
    assert ("deliver", job.id) in queue.waiting()


def test_a_job_is_settled_only_once_the_view_shows_how_it_ended(ledger, sweeper, redis):
    job = accepted(ledger)
    ended = ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    redis.delete(f"job:{job.id}")
    ledger.view.put(job)
    ledger.settle(ended)
    assert ledger.current(job.id).state is State.SUCCEEDED


def test_a_submission_whose_api_died_behind_the_image_goes_on(ledger, queue, sweeper, redis):
    job = a_job()
    ledger.mark(job)
    ledger.objects.put(image_key(job), b"image")
    after_a_while(sweeper, redis)
    assert enqueued(queue) == {job.id}


def test_a_submission_without_redis_is_found_once_it_is_back(ledger, queue, sweeper, monkeypatch):
    def away(*_: object, **__: object) -> None:
        raise QueueUnavailable("away")

    job = a_job()
    monkeypatch.setattr(ledger.view.agenda, "add", away)
    monkeypatch.setattr(ledger.view, "put", away)
    ledger.accept(job, b"image")
    monkeypatch.undo()
    sweep(sweeper)
    assert enqueued(queue) == {job.id}
    assert list(ledger.unseen.ids()) == []


def test_many_submissions_without_redis_are_found_in_one_round(ledger, queue, sweeper, monkeypatch):
    monkeypatch.setattr("worker.sweeper.sweep.CHUNK", 2)
    jobs = [a_job() for _ in range(5)]
    for job in jobs:
        ledger.objects.put(image_key(job), b"image")
        ledger.objects.put(marker_key(job.id), job_to_json(job))
        ledger.unseen.add(job.id)
    sweep(sweeper)
    assert enqueued(queue) == {job.id for job in jobs}


def fails_for(ledger, monkeypatch, *job_ids: str) -> list[str]:
    """Let the object store fail at each read of these jobs. Return the list of the attempts."""
    read, attempts = ledger.read, []

    def reading(job_id: str):
        if job_id in job_ids:
            attempts.append(job_id)
            raise StoreUnavailable(f"the object store answered InternalError for jobs/{job_id}/")
        return read(job_id)

    monkeypatch.setattr(ledger, "read", reading)
    return attempts


def rounds(sweeper, redis, monkeypatch, count: int) -> None:
    """Make so many rounds, six seconds apart, in each of which every job is due. Any may end early."""
    for number in range(count):
        monkeypatch.setattr(Clock, "earliest", lambda _, n=number: now() + timedelta(seconds=6 * n))
        with suppress(StoreUnavailable):
            after_a_while(sweeper, redis)


def test_jobs_that_the_store_cannot_serve_hold_up_no_other(ledger, sweeper, redis, queue, monkeypatch):
    bad = [accepted(ledger, expires_at=LONG_AGO) for _ in range(3)]
    late = accepted(ledger, expires_at=LONG_AGO)
    attempts = fails_for(ledger, monkeypatch, *(job.id for job in bad))
    rounds(sweeper, redis, monkeypatch, 4)
    assert ledger.read(late.id).state is State.EXPIRED
    attempts.clear()
    rounds(sweeper, redis, monkeypatch, 60)
    assert len(attempts) < 3 * 10, "they are tried ever less often"
    monkeypatch.undo()
    monkeypatch.setattr(Clock, "earliest", lambda _: now() + timedelta(hours=1))
    after_a_while(sweeper, redis)
    assert {ledger.read(job.id).state for job in bad} == {State.EXPIRED}


def test_lost_jobs_that_the_store_cannot_serve_hold_up_no_round(ledger, sweeper, redis, monkeypatch):
    bad, late = [accepted(ledger) for _ in range(3)], accepted(ledger, expires_at=LONG_AGO)
    for job in bad:
        ledger.append(job.started("inference:gone:1", now()))
    fails_for(ledger, monkeypatch, *(job.id for job in bad))
    rounds(sweeper, redis, monkeypatch, 4)
    assert ledger.read(late.id).state is State.EXPIRED


def test_a_round_ends_where_the_store_fails_for_several_jobs(ledger, sweeper, monkeypatch):
    jobs = [accepted(ledger, expires_at=LONG_AGO) for _ in range(10)]
    attempts = fails_for(ledger, monkeypatch, *(job.id for job in jobs))
    with pytest.raises(StoreUnavailable):
        sweep(sweeper)
    assert len(attempts) == 3


def test_a_round_ends_while_submissions_without_redis_arrive(ledger, sweeper, monkeypatch):
    arrivals = iter([accepted(ledger) for _ in range(20)])
    monkeypatch.setattr(ledger.unseen, "ids", lambda: iter([next(arrivals).id]))
    sweep(sweeper)
    assert len(list(arrivals)) == 19, "the next round finds them"


def test_a_message_that_later_ones_have_passed_is_lost(ledger, queue, sweeper, redis):
    lost, taken, waits = [accepted(ledger) for _ in range(3)]
    queue.feed("clinic", Priority.ROUTINE)
    redis.rpop(INFER_ROUTINE)
    at = now().timestamp()
    redis.zadd("sent:routine", {lost.id: at - 60, taken.id: at - 30, waits.id: at - 20})
    sweep(sweeper)
    assert enqueued(queue) == {taken.id, waits.id}, "perhaps it is the next one"
    redis.rpop(INFER_ROUTINE)
    ledger.append(taken.started("inference:here:1", now()))
    sweep(sweeper)
    assert enqueued(queue) == {lost.id, waits.id}
    assert redis.llen(INFER_ROUTINE) == 2


def test_a_second_message_of_a_job_does_not_mark_earlier_ones_lost(ledger, queue, sweeper, redis):
    first, twice = [accepted(ledger) for _ in range(2)]
    queue.feed("clinic", Priority.ROUTINE)
    ledger.view.client_queues.send_again(twice)
    queue.feed("clinic", Priority.ROUTINE)
    at = now().timestamp()
    redis.zadd("sent:routine", {first.id: at - 60, twice.id: at - 20})
    ledger.append(twice.started("inference:here:1", now()))
    sweep(sweeper)
    assert redis.llen(INFER_ROUTINE) == 3, "the older of its two messages may have been the one"


def test_an_unreadable_record_in_redis_ends_no_round(ledger, queue, sweeper, redis):
    broken, whole = accepted(ledger, expires_at=LONG_AGO), accepted(ledger)
    redis.lpush(INFER_ROUTINE, b"no message", b"{}")
    redis.hset(f"job:{broken.id}", "record", b'{"id": ')
    sweep(sweeper)
    assert ledger.read(broken.id).state is State.EXPIRED
    assert ledger.current(whole.id).state is State.QUEUED
    assert redis.llen(INFER_ROUTINE) >= 3, "what is malformed, and at least one message"


def test_a_worker_that_ended_is_forgotten_once_it_has_no_job(ledger, queue, sweeper):
    runner = "inference:gone:1"
    ledger.view.heartbeats.beat(runner)
    job = accepted(ledger)
    ledger.append(job.started(runner, now()))
    ledger.view.heartbeats.end(runner)
    sweep(sweeper)
    assert ledger.read(job.id).state is State.QUEUED
    sweep(sweeper)
    assert ledger.view.heartbeats.missing() == set()


def test_a_study_that_waits_is_checked_once_its_last_job_has_left(ledger, sweeper, redis, monkeypatch):
    study, jobs = a_study(2)
    ledger.accept_study(study, ((job, b"image") for job in jobs))
    after_a_while(sweeper, redis)
    assert redis.zscore(AGENDA, study.id) == inf, "it waits for its jobs, at no time"
    for job in jobs:
        ledger.settle(ledger.append(ledger.append(job.started("w", now())).failed("x", "It broke.", now())))
    after_a_while(sweeper, redis)
    assert ledger.read(study.id).state is State.FAILED


def test_a_change_meanwhile_is_not_put_off_by_a_check(ledger, redis):
    job = accepted(ledger, callback_url="https://clinic.example/")
    ledger.append(job.started("inference:here:1", now()))
    before = redis.zscore(AGENDA, job.id)
    ledger.view.agenda.later(job)
    assert redis.zscore(AGENDA, job.id) == before


def test_a_job_that_ended_while_not_in_the_view_has_no_runner(ledger, redis):
    runner, job = "inference:gone:1", accepted(ledger)
    running = ledger.append(job.started(runner, now()))
    redis.delete(f"job:{job.id}")
    ledger.append(running.succeeded(RESULT, now()))
    assert ledger.view.jobs_of_runner(runner) == set()
