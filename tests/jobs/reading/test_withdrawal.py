"""What becomes of an open reading whose job is canceled, deleted or fails, wherever a process is killed."""

from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from redis import Redis

from jobs.lifecycle.compare_and_set import change_job
from jobs.lifecycle.deletion import delete
from jobs.lifecycle.next_step import start_next_step
from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.reading import KEPT_OPEN, Reading
from jobs.reading.readings import FOLLOW_UP, Readings
from jobs.reading.states import CancelReason, ReadingState
from jobs.record.errors import NotStored
from jobs.record.job import LEFTOVER_GRACE, Job, now
from jobs.record.states import State
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from tests.conftest import a_job, a_study, only_a_tombstone_is_left
from tests.jobs.reading.killed import dies_at_write
from tests.jobs.reading.signed import sign
from tests.worker.conftest import after_a_while
from worker.sweeper.purge import purge
from worker.sweeper.sweep import Sweeper

URL = "https://clinic.example/hook"
EVERY = [pytest.param(1, marks=pytest.mark.long), 3]
"""Each write at which a process is killed, or every third one."""
POLICY = ReadingPolicy(groups=("bones",))


@pytest.fixture
def readings(ledger: Ledger) -> Readings:
    Policies(ledger.records).put("clinic", POLICY)
    return Readings(ledger)


def requested(ledger: Ledger, **changes) -> tuple[Job, Reading]:
    job = a_job(callback_url=URL, **changes)
    ledger.accept(job, b"image")
    return job, Readings(ledger).request(job, POLICY, callback_url=URL)


def ended(job: Job, ledger: Ledger, end: Callable[[Job], Job]) -> Job:
    return ledger.append(end(ledger.append(job.started("w", now()))))


def cancel(job: Job, ledger: Ledger, queue: JobQueue) -> None:
    """What the API does."""
    Readings(ledger).check_soon(job.id)
    _, canceled = change_job(job.id, lambda present: present.canceled(now()), ledger)
    start_next_step(canceled, ledger, queue)


def told(ledger: Ledger, reading: Reading) -> Counter[str]:
    events = [ledger.read(key) for key in ledger.pending() if key.startswith("event_")]
    return Counter(
        event.event for event in events if event.announces and event.announces["data"]["id"] == reading.id
    )


def end_locks(redis: Redis) -> None:
    """End the locks of a process that was killed, which end by themselves soon after."""
    redis.delete("-", *redis.keys("lock:*"), *redis.keys("gate:*"))


def later(monkeypatch, by: timedelta) -> None:
    monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + by)


def test_a_canceled_job_cancels_its_open_reading_and_tells_of_it(ledger, queue, readings, monkeypatch):
    job, reading = requested(ledger)
    readings.change(reading, lambda present: present.claimed("ada", "Ada", now()))
    cancel(job, ledger, queue)
    after = readings.read(reading.id)
    assert (after.state, after.canceled_because) == (ReadingState.CANCELED, CancelReason.JOB_CANCELED)
    assert readings.open(["bones"]) == []
    assert not Stage.DUE.calls_for_readers(after, reading.due_at)
    later(monkeypatch, FOLLOW_UP + timedelta(seconds=1))
    purge(ledger, queue)
    assert told(ledger, reading)["reading.canceled"] == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [
        ("unreadable-image", ReadingState.CANCELED),
        ("not-a-radiograph", ReadingState.REQUESTED),
        ("worker-lost", ReadingState.REQUESTED),
        ("internal-error", ReadingState.REQUESTED),
    ],
)
def test_a_reading_stays_open_while_a_person_can_see_the_image(ledger, queue, readings, error, state):
    job, reading = requested(ledger)
    failed = ended(job, ledger, lambda running: running.failed(error, "why", now()))
    start_next_step(failed, ledger, queue)
    assert readings.read(reading.id).state is state


def test_inference_leaves_an_unreadable_images_reading_to_the_sweeper(ledger, queue, readings, monkeypatch):
    job, reading = requested(ledger)
    inference = Ledger(ledger.objects, ledger.view, may_delete=False)
    failed = ended(job, inference, lambda running: running.failed("unreadable-image", "why", now()))
    start_next_step(failed, inference, queue)
    assert readings.read(reading.id).state.open
    later(monkeypatch, FOLLOW_UP + timedelta(seconds=1))
    purge(ledger, queue)
    assert readings.read(reading.id).canceled_because == CancelReason.IMAGE_UNREADABLE
    assert told(ledger, reading)["reading.canceled"] == 1


def test_a_report_that_was_signed_first_outlives_its_job_being_canceled(ledger, queue, readings):
    job, reading = requested(ledger)
    sign(ledger, readings.change(reading, lambda present: present.claimed("ada", "Ada", now())))
    cancel(job, ledger, queue)
    assert readings.read(reading.id).state is ReadingState.SIGNED


@pytest.mark.parametrize("every", EVERY)
def test_an_open_reading_ends_with_its_job_wherever_the_process_is_killed(
    ledger: Ledger, queue: JobQueue, redis: Redis, settings: Settings, readings: Readings, monkeypatch, every
):
    sweeper = Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))
    later(monkeypatch, FOLLOW_UP + LEFTOVER_GRACE)
    writes, killed = 0, True
    while killed:
        job, reading = requested(ledger)
        killed = dies_at_write(writes, lambda own, job=job: cancel(job, own, queue), settings)
        end_locks(redis)
        after_a_while(sweeper, redis)
        purge(ledger, queue)
        if ledger.read(job.id).state is State.CANCELED:
            assert readings.read(reading.id).state is ReadingState.CANCELED, f"killed at write {writes}"
            assert readings.open(["bones"]) == []
            assert told(ledger, reading)["reading.canceled"] == 1
        else:
            delete(job.id, ledger)
        writes += every
    assert writes > 5


@pytest.mark.parametrize("every", EVERY)
def test_a_deletion_tells_of_an_open_reading_wherever_it_is_killed(
    ledger: Ledger, queue: JobQueue, redis: Redis, settings: Settings, readings: Readings, every: int
):
    sweeper = Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))
    writes, killed = 0, True
    while killed:
        job, reading = requested(ledger)
        killed = dies_at_write(writes, lambda own, job=job: delete(job.id, own), settings)
        end_locks(redis)
        after_a_while(sweeper, redis)
        if ledger.read(job.id).state is State.ERASED:
            assert told(ledger, reading)["reading.canceled"] == 1, f"killed at write {writes}"
            assert only_a_tombstone_is_left(job.id, ledger)
            assert readings.open(["bones"]) == []
            left = [key for key in ledger.objects.keys("readings/") if reading.id in key]
            assert not [key for key in left if not key.startswith("readings/notices/")]
            with pytest.raises(NotStored):
                readings.read(reading.id)
        else:
            delete(job.id, ledger)
        writes += every
    assert writes > 5


def test_retention_erases_no_radiograph_under_an_open_reading(ledger, queue, readings, monkeypatch):
    job, reading = requested(ledger, retention_seconds=60)
    start_next_step(ended(job, ledger, lambda running: running.succeeded({}, now())), ledger, queue)
    later(monkeypatch, timedelta(hours=2))
    purge(ledger, queue)
    assert ledger.read(job.id).state is State.SUCCEEDED
    assert readings.read(reading.id).state.open
    readings.change(reading, lambda present: present.canceled(now()))
    purge(ledger, queue)  # The follow-up names the time, which has passed.
    purge(ledger, queue)
    assert only_a_tombstone_is_left(job.id, ledger)


def test_retention_begins_again_once_a_report_is_signed(ledger, queue, readings, monkeypatch):
    job, reading = requested(ledger, retention_seconds=3600)
    start_next_step(ended(job, ledger, lambda running: running.succeeded({}, now())), ledger, queue)
    sign(ledger, readings.change(reading, lambda present: present.claimed("ada", "Ada", now())))
    for minutes, state in ((59, State.SUCCEEDED), (61, State.ERASED)):
        for _ in range(2):
            later(monkeypatch, timedelta(minutes=minutes))
            purge(ledger, queue)
        assert ledger.read(job.id).state is state
    assert NoticeIndex(ledger.objects).told(reading.id, Stage.DUE) == set()


def test_a_study_is_kept_while_a_reading_of_one_of_its_views_is_open(ledger, queue, readings, monkeypatch):
    study, jobs = a_study(2, retention_seconds=60)
    ledger.accept_study(study, [(job, b"image") for job in jobs])
    reading = readings.request(jobs[1], POLICY)
    for job in jobs:
        done = ended(job, ledger, lambda running: running.succeeded({}, now()))
        start_next_step(done, ledger, queue)
    later(monkeypatch, timedelta(hours=1))
    purge(ledger, queue)
    assert ledger.read(study.id).state is State.SUCCEEDED
    expires = reading.due_at + KEPT_OPEN - now()
    for minutes in (5, 10, 10):
        later(monkeypatch, expires + timedelta(minutes=minutes))
        purge(ledger, queue)
    assert only_a_tombstone_is_left(study.id, ledger)
    assert only_a_tombstone_is_left(jobs[1].id, ledger)
