"""Tests that a study comes to its one callback, even if processes die on the way."""

import json
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from standardwebhooks import Webhook

from jobs.lifecycle.deletion import delete
from jobs.lifecycle.manual_retry import retry_job
from jobs.lifecycle.next_step import start_next_step
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readings import Readings
from jobs.record.errors import NotStored, StoreUnavailable
from jobs.record.ids import digest_of
from jobs.record.job import LEFTOVER_GRACE, Job, now
from jobs.record.states import Delivery, State
from jobs.redis.agenda import DOUBT
from jobs.store.ledger import Ledger
from jobs.store.webhook_settings import webhook_secret
from tests import pictures
from tests.conftest import SIGNING_KEY, a_job, a_study, only_a_tombstone_is_left
from tests.jobs.store.requests import watch
from tests.worker.conftest import after_a_while, deliver
from tests.worker.inference.test_analyse import analysis  # noqa: F401 - a fixture
from worker.inference.analyse import analyse
from worker.sweeper.purge import purge
from worker.sweeper.reconcile import reconcile
from worker.sweeper.sweep import Sweeper, sweep

PNG = pictures.encoded(pictures.gray())
LONG_AGO = now() - timedelta(hours=2)


def result(probability: float) -> dict:
    return {"finding": "fracture", "probability": probability}


@pytest.fixture
def sweeper(ledger, queue) -> Sweeper:
    return Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))


def accepted(ledger: Ledger, count: int = 3, image: bytes = b"image", **changes) -> tuple[Job, list[Job]]:
    study, jobs = a_study(count, size=len(image), **changes)
    ledger.accept_study(study, ((job, image) for job in jobs))
    return study, jobs


def recorded(ledger: Ledger, job: Job, probability: float = 0.5, at: datetime | None = None) -> Job:
    """End a job as a worker does that is killed right after."""
    return ledger.append(ledger.append(job.started("w", now())).succeeded(result(probability), at or now()))


def failed(ledger: Ledger, job: Job, type_: str = "unreadable-image") -> Job:
    return ledger.append(ledger.append(job.started("w", now())).failed(type_, "It broke.", now()))


def called_for(queue, study: Job) -> bool:
    return ("deliver", study.id) in queue.waiting()


def test_workers_bring_a_study_to_its_one_signed_callback(
    ledger,
    queue,
    analysis,  # noqa: F811
    context,
    receiver,
):
    study, jobs = accepted(
        ledger, image=PNG, callback_url=receiver.url, reference="R 1", metadata={"x": "Doe"}
    )
    for job in jobs:
        assert not called_for(queue, study)
        analyse(job.id, analysis)
    assert called_for(queue, study)
    for _ in range(2):
        deliver(study.id, context)
    ((headers, body),) = receiver.received
    event = Webhook(webhook_secret(SIGNING_KEY, "clinic")).verify(body, headers)
    assert event["type"] == "study.succeeded"
    assert event["data"]["id"] == study.id
    assert event["data"]["reference"] == "R 1"
    assert [view["id"] for view in event["data"]["jobs"]] == [job.id for job in jobs]
    assert event["data"]["summary"]["probability"] == event["data"]["jobs"][0]["result"]["probability"]
    assert b"Doe" not in body
    assert ledger.read(study.id).delivery is Delivery.DELIVERED
    assert list(ledger.pending()) == []


def test_a_callback_that_fails_is_due_again_under_the_same_id(ledger, queue, context, receiver):
    study, jobs = accepted(ledger, 1, callback_url=receiver.url)
    start_next_step(failed(ledger, jobs[0]), ledger, queue)
    receiver.status = 500
    deliver(study.id, context)
    later = ledger.read(study.id)
    assert (later.state, later.delivery, later.delivery_attempts) == (State.FAILED, Delivery.PENDING, 1)
    assert later.next_delivery_at > now()
    ledger.append(later.redelivered(now()))
    receiver.status = 200
    deliver(study.id, context)
    ids = {headers["webhook-id"] for headers, _ in receiver.received}
    assert ids == {f"msg_{study.id}"}
    assert [json.loads(body)["type"] for _, body in receiver.received] == ["study.failed"] * 2


def test_a_study_whose_events_are_not_wanted_is_settled_without_a_call(ledger, queue, context, receiver):
    context.webhooks.choose("clinic", ["job.succeeded", "study.failed"])
    study, jobs = accepted(ledger, 1, callback_url=receiver.url)
    start_next_step(recorded(ledger, jobs[0]), ledger, queue)
    deliver(study.id, context)
    assert receiver.received == []
    assert ledger.read(study.id).delivery is Delivery.NONE


def test_workers_that_end_the_last_jobs_at_once_conclude_the_study_once(ledger, queue):
    study, jobs = accepted(ledger, 8, callback_url="https://clinic.example/")
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda job: start_next_step(recorded(ledger, job), ledger, queue), jobs))
    assert called_for(queue, study)
    assert [version.state for version in ledger.history(study.id)] == [State.SUCCEEDED]
    assert list(ledger.pending()) == [study.id]


def test_a_study_whose_last_worker_was_killed_is_concluded_by_the_sweeper(ledger, queue, sweeper, redis):
    study, jobs = accepted(ledger, callback_url="https://clinic.example/")
    for job in jobs[:2]:
        start_next_step(recorded(ledger, job), ledger, queue)
    recorded(ledger, jobs[2])
    after_a_while(sweeper, redis)
    assert called_for(queue, study)


def test_a_study_that_no_worker_saw_end_is_concluded_by_the_sweeper(ledger, queue, sweeper, redis):
    study, jobs = accepted(ledger, callback_url="https://clinic.example/")
    stale = [redis.hgetall(f"job:{job.id}") for job in jobs]
    ended = [recorded(ledger, job, 0.5) for job in jobs]
    for job in ended:
        ledger.settle(job)
    for job, shown in zip(jobs, stale, strict=True):  # As an old snapshot of Redis would show them.
        redis.hset(f"job:{job.id}", mapping=shown)
    reconcile(sweeper)
    assert ledger.read(study.id).state is State.SUCCEEDED
    assert called_for(queue, study)


def test_a_study_is_concluded_after_redis_was_wiped(ledger, queue, sweeper, redis):
    study, jobs = accepted(ledger, callback_url="https://clinic.example/")
    for job in jobs[:2]:
        start_next_step(recorded(ledger, job), ledger, queue)
    redis.flushall()
    start_next_step(recorded(ledger, jobs[2]), ledger, queue)
    assert called_for(queue, study)
    redis.flushall()
    reconcile(sweeper)
    sweep(sweeper)
    assert called_for(queue, study)


def test_a_study_is_not_concluded_while_one_of_its_jobs_runs(ledger, queue, sweeper, monkeypatch):
    study, jobs = accepted(ledger, queued_at=LONG_AGO, callback_url="https://clinic.example/")
    for job in jobs[:2]:
        start_next_step(recorded(ledger, job), ledger, queue)
    monkeypatch.setattr("jobs.store.clock.Clock.earliest", lambda _: now() + 2 * DOUBT)
    read = []
    monkeypatch.setattr(ledger, "read", read.append)
    for _ in range(2):
        sweep(sweeper)
    assert study.id not in read, "a study that only waits costs the object store nothing"
    monkeypatch.undo()
    assert ledger.read(study.id) == study


def test_a_study_ends_though_its_last_job_is_deleted(ledger, queue, sweeper, context, receiver, redis):
    study, jobs = accepted(ledger, 2, callback_url=receiver.url)
    start_next_step(recorded(ledger, jobs[0], 0.7), ledger, queue)
    delete(jobs[1].id, ledger)
    after_a_while(sweeper, redis)
    deliver(study.id, context)
    ((_, body),) = receiver.received
    data = json.loads(body)["data"]
    assert [view["id"] for view in data["jobs"]] == [jobs[0].id]
    assert data["summary"]["job"] == jobs[0].id


def test_a_study_whose_job_has_expired_ends(ledger, queue, sweeper):
    study, jobs = accepted(ledger, 2, callback_url="https://clinic.example/", expires_at=LONG_AGO)
    sweep(sweeper)
    assert ledger.read(study.id).state is State.FAILED
    assert {ledger.read(job.id).state for job in jobs} == {State.EXPIRED}


@pytest.mark.parametrize("kept", range(3))
def test_a_study_whose_submission_broke_off_is_erased_with_its_jobs(
    ledger, queue, sweeper, monkeypatch, redis, kept
):
    study, jobs = a_study(3, callback_url="https://clinic.example/")

    def members():
        for job in jobs[:kept]:
            yield job, b"image"
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        ledger.accept_study(study, members())
    if kept:
        start_next_step(recorded(ledger, jobs[0]), ledger, queue)
    with pytest.raises(NotStored):
        ledger.read(study.id)
    after_a_while(sweeper, redis)
    assert study.id in set(ledger.pending()), "it may be written at this moment"
    monkeypatch.setattr("jobs.store.clock.Clock.earliest", lambda _: now() + 2 * LEFTOVER_GRACE)
    after_a_while(sweeper, redis)
    for job in jobs[:kept]:
        assert only_a_tombstone_is_left(job.id, ledger)
    left = {key for key in ledger.objects.keys("") if not key.startswith("due/")} - {"layout"}
    assert left == {f"jobs/{job.id}/ledger/{ledger.read(job.id).version:06d}" for job in jobs[:kept]}


def test_a_second_intake_of_a_study_changes_no_job_that_is_there(ledger, queue, sweeper, redis):
    study, jobs = a_study(2, callback_url="https://clinic.example/")

    def members():
        yield jobs[0], b"image"
        raise StoreUnavailable("down")

    with pytest.raises(StoreUnavailable):
        ledger.accept_study(study, members())
    start_next_step(recorded(ledger, jobs[0]), ledger, queue)
    redis.flushall()
    ledger.accept_study(study, ((job, b"image") for job in jobs))
    assert ledger.current(jobs[0].id).state is State.SUCCEEDED
    assert set(ledger.of_client("clinic", None)) == {job.id for job in jobs}
    start_next_step(recorded(ledger, jobs[1]), ledger, queue)
    assert called_for(queue, study)


def test_a_study_that_ends_before_it_is_accepted_is_still_concluded(ledger, queue, sweeper, redis):
    study, jobs = a_study(2, callback_url="https://clinic.example/")

    def members():
        for job in jobs:
            yield job, b"image"
        for job in jobs:
            start_next_step(recorded(ledger, job), ledger, queue)

    ledger.accept_study(study, members())
    after_a_while(sweeper, redis)
    assert called_for(queue, study)


def test_a_deletion_that_broke_off_is_finished_without_a_callback(ledger, queue, sweeper, redis):
    study, jobs = accepted(ledger, 2, callback_url="https://clinic.example/")
    ledger.append(study.erased(now()))
    start_next_step(recorded(ledger, jobs[0]), ledger, queue)
    after_a_while(sweeper, redis)
    for record in (study, *jobs):
        assert only_a_tombstone_is_left(record.id, ledger)
    assert not called_for(queue, study)


def test_a_study_with_a_retried_job_has_another_callback(ledger, queue, context, receiver):
    study, jobs = accepted(ledger, 2, callback_url=receiver.url)
    start_next_step(recorded(ledger, jobs[0], 0.1), ledger, queue)
    start_next_step(failed(ledger, jobs[1], "worker-lost"), ledger, queue)
    deliver(study.id, context)
    again = retry_job(ledger.read(jobs[1].id), ledger)
    assert ledger.read(study.id).state is State.RUNNING
    start_next_step(recorded(ledger, again, 0.9), ledger, queue)
    deliver(study.id, context)
    probabilities = [json.loads(body)["data"]["summary"]["probability"] for _, body in receiver.received]
    assert probabilities == [0.1, 0.9]
    assert len({headers["webhook-id"] for headers, _ in receiver.received}) == 2


def test_the_jobs_of_a_study_are_kept_for_as_long_as_the_study(ledger, queue, monkeypatch):
    study, jobs = accepted(ledger, 2, retention_seconds=3600, created_at=LONG_AGO)
    for job, at in zip(jobs, (LONG_AGO, now()), strict=True):
        start_next_step(recorded(ledger, job, at=at), ledger, queue)
    monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + timedelta(minutes=30))
    purge(ledger, queue)
    assert {ledger.read(job.id).state for job in (study, *jobs)} == {State.SUCCEEDED}
    monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + timedelta(minutes=90))
    purge(ledger, queue)
    for record in (study, *jobs):
        assert only_a_tombstone_is_left(record.id, ledger)


def test_a_study_is_not_counted_among_the_jobs_that_ended(ledger, queue):
    _, jobs = accepted(ledger, 2)
    for job in jobs:
        start_next_step(recorded(ledger, job), ledger, queue)
    ended = {name: count for name, count in ledger.view.counts().items() if name.startswith("ended:")}
    assert ended == {"ended:succeeded": 2}


def test_the_end_of_a_job_without_a_study_costs_no_further_request(ledger, queue):
    job = a_job()
    ledger.accept(job, b"image")
    ended = recorded(ledger, job)
    requests: list[str] = []
    watch(ledger.objects, lambda action, _: requests.append(action))
    start_next_step(ended, ledger, queue)
    assert requests == ["DeleteObject"]


@pytest.mark.parametrize("callback_url", [None, "receiver"])
@pytest.mark.parametrize("stored_before", [False, True])
def test_a_study_whose_views_are_to_be_read_is_settled(
    ledger, queue, sweeper, context, receiver, redis, caplog, callback_url, stored_before
):
    Policies(ledger.records).put("clinic", ReadingPolicy(groups=("bones",)))
    wish = {"wish": "requested", "due_seconds": None, "question": None}
    study, jobs = a_study(2, callback_url=callback_url and receiver.url, reading=wish)
    if stored_before:  # The record of a study had the wish of its first view once.
        study = replace(study, reading=wish)
    ledger.accept_study(study, ((job, b"image") for job in jobs))
    caplog.set_level(logging.ERROR)
    for job in jobs:
        start_next_step(recorded(ledger, job), ledger, queue)
    deliver(study.id, context)
    after_a_while(sweeper, redis)
    assert not {study.id, *(job.id for job in jobs)} & set(ledger.pending())
    assert [len(Readings(ledger).of_job(job.id)) for job in jobs] == [1, 1]
    assert not caplog.records


def test_a_study_takes_no_place_among_the_views_of_its_uid(ledger):
    filed = digest_of("1.2.3")
    study, jobs = a_study(20, filed_under=filed)
    ledger.accept_study(study, ((job, b"image") for job in jobs))
    views = sorted(job.id for job in jobs)
    assert ledger.of_study_uid("clinic", "1.2.3", 20) == views
    ledger.accept(replace(study, filed_under=filed), b"")  # As studies were stored once.
    assert ledger.of_study_uid("clinic", "1.2.3", 20) == views


def test_a_study_has_nothing_of_its_first_view_alone(ledger):
    of_a_view = {
        "reading": {"wish": "requested", "due_seconds": None, "question": "Is it broken?"},
        "filed_under": digest_of("1.2.3"),
        "training_use": "allowed",
        "consent_reference": "form of Jane Doe",
    }
    study, _ = a_study(2, reference="R 1", **of_a_view)
    assert study.reference == "R 1"
    assert {name: getattr(study, name) for name in of_a_view} == dict.fromkeys(of_a_view)
