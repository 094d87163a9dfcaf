from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from functools import partial
from math import inf
from threading import Barrier
from types import SimpleNamespace

import pytest

from jobs.lifecycle.compare_and_set import change_job
from jobs.lifecycle.deletion import delete
from jobs.record.errors import Conflict, IllegalMove, NotStored, StoreUnavailable
from jobs.record.job import LEFTOVER_GRACE, now
from jobs.record.job_json import job_to_json
from jobs.record.states import State
from jobs.redis.view import LOCK_SECONDS, WRITE_SECONDS, View, WriteLock
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from tests.conftest import a_job, a_study, only_a_tombstone_is_left
from tests.jobs.redis.trusted import remembers_all

NO_REDIS = "redis://127.0.0.1:1/0"


def test_an_accepted_job_reads_back_from_view_and_ledger(ledger):
    job = a_job()
    ledger.accept(job, b"image")
    assert ledger.read(job.id) == ledger.current(job.id) == job
    assert ledger.image(job) == b"image"
    assert list(ledger.pending()) == [job.id]


def test_the_ledger_outlives_a_wipe_of_redis(ledger, redis):
    job = a_job()
    ledger.accept(job, b"image")
    running = ledger.append(job.started("w", now()))
    redis.flushall()
    assert ledger.current(job.id) == running


def test_a_writer_whose_write_lock_is_about_to_end_does_not_write(ledger, monkeypatch):
    job = a_job()
    ledger.accept(job, b"image")
    moments = iter([0.0, LOCK_SECONDS - WRITE_SECONDS + 0.1])
    monkeypatch.setattr("jobs.store.ledger.time", SimpleNamespace(monotonic=lambda: next(moments)))
    with pytest.raises(StoreUnavailable):
        ledger.append(job.started("w", now()))
    assert ledger.read(job.id) == job


def test_a_record_whose_write_lost_its_answer_is_written_again_as_the_same(ledger, monkeypatch):
    job = a_job()
    ledger.accept(job, b"image")
    running = job.started("w", now())
    put_new = ledger.objects.put_new

    def answer_lost(key: str, record: bytes) -> None:
        put_new(key, record)
        raise StoreUnavailable("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(ledger.objects, "put_new", answer_lost)
        with pytest.raises(StoreUnavailable):
            ledger.append(running)
    assert ledger.append(running) == running
    with pytest.raises(Conflict):
        ledger.append(job.started("another", now()))
    assert ledger.read(job.id) == running


def test_of_eight_writers_of_one_version_one_wins_every_time(ledger, settings):
    job = a_job()
    ledger.accept(job, b"image")
    connect = partial(Objects.connect, settings.s3_endpoint_url, settings.s3_bucket)
    ledgers = [Ledger(connect(), ledger.view) for _ in range(8)]
    together = Barrier(8)

    def write(ledger: Ledger) -> bool:
        own = replace(job, reference=str(id(ledger)))
        together.wait()
        try:
            ledger.append(own)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            job = job.started("w", now()) if job.state is State.QUEUED else job.handed_back(now())
            assert sum(pool.map(write, ledgers)) == 1


def test_a_late_writer_loses_even_after_redis_lost_the_write_lock(ledger, redis):
    job = a_job()
    ledger.accept(job, b"image")
    first = job.started("first", now())
    ledger.append(first)
    redis.flushall()
    with pytest.raises(Conflict):
        ledger.append(job.started("late", now()))
    assert ledger.read(job.id) == first


def test_of_eight_processes_that_make_one_change_one_writes_it(ledger):
    job = a_job()
    ledger.accept(job, b"image")
    ledger.append(job.started("w", now()))

    began = now()

    def cancel(number: int) -> bool:
        # Equal changes of one millisecond are one record, and are made by all who write it.
        moment = began + timedelta(milliseconds=number)
        try:
            change_job(job.id, lambda job: job.canceled(moment), ledger)
        except IllegalMove:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(cancel, range(8))) == 1
    assert ledger.read(job.id).version == 3


def record_listings(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record behind which keys the ledger lists versions in the object store, from now on."""
    seen: list[str] = []
    keys = ledger.objects.keys
    monkeypatch.setattr(
        ledger.objects, "keys", lambda prefix, after="": seen.append(after) or keys(prefix, after)
    )
    return seen


def test_the_store_is_read_before_a_write_only_while_redis_may_not_know(ledger, redis, monkeypatch):
    job = a_job()
    ledger.accept(job, b"image")
    listings = record_listings(ledger, monkeypatch)
    running = ledger.append(job.started("w", now()))
    assert len(listings) == 1, "this Redis has just begun"
    remembers_all(redis)
    back = ledger.append(running.handed_back(now()))
    assert len(listings) == 1
    redis.hset("memory", "server", "another one, before a failover")
    ledger.append(back.started("w", now()))
    assert len(listings) == 2


def test_a_try_of_an_earlier_version_does_not_hide_one_of_a_later_one(ledger, redis):
    job = a_job()
    ledger.accept(job, b"image")
    back = ledger.append(ledger.append(job.started("w", now())).handed_back(now()))
    remembers_all(redis)
    unseen = back.started("died before it showed this", now())
    assert ledger.view.lock_version(job.id, unseen.version, "its token") is WriteLock.FREE
    redis.delete(f"gate:{job.id}:2")  # As the write lock ends by itself after a while.
    assert ledger.view.lock_version(job.id, 2, "one that was frozen") is WriteLock.CHECK
    redis.delete(f"gate:{job.id}:{unseen.version}")
    assert ledger.view.lock_version(job.id, unseen.version, "another") is WriteLock.CHECK


def test_no_version_is_written_after_a_tombstone(ledger, redis):
    job = a_job()
    ledger.accept(job, b"image")
    running = ledger.append(job.started("frozen", now()))
    ended = ledger.append(ledger.append(running.handed_back(now())).started("another", now()))
    delete(job.id, ledger)
    redis.flushall()
    with pytest.raises(Conflict):
        ledger.append(running.succeeded({"finding": "fracture"}, now()))
    assert only_a_tombstone_is_left(job.id, ledger)
    assert ended.version < ledger.read(job.id).version


def test_a_version_that_was_ever_tried_is_checked_before_a_write(ledger, redis):
    job = a_job()
    ledger.accept(job, b"image")
    remembers_all(redis)
    unseen = job.started("died before it showed this", now())
    ledger.view.lock_version(job.id, unseen.version, "its token")
    ledger.objects.put_new(f"jobs/{job.id}/ledger/000002", job_to_json(unseen))
    redis.delete(f"gate:{job.id}:2")  # As the write lock ends by itself after a while.
    with pytest.raises(Conflict):
        ledger.append(job.started("late", now()))
    assert ledger.read(job.id) == unseen


def test_every_version_stays_in_the_ledger(ledger):
    job = a_job()
    ledger.accept(job, b"image")
    assert ledger.history(job.id) == [job]
    running = ledger.append(job.started("w", now()))
    back = ledger.append(running.handed_back(now()))
    assert ledger.history(job.id) == [running, back]


def test_a_job_whose_image_did_not_arrive_whole_does_not_exist(ledger, redis):
    job = a_job()
    ledger.accept(job, b"ima")
    redis.flushall()
    for asked in (ledger.read, ledger.current, ledger.history):
        with pytest.raises(NotStored):
            asked(job.id)
    assert list(ledger.pending()) == [job.id], "its marker leads the sweeper to it"


def test_the_latest_of_more_than_nine_versions_is_read(ledger):
    job = a_job()
    ledger.accept(job, b"image")
    for _ in range(5):
        job = ledger.append(job.started("w", now()))
        job = ledger.append(job.handed_back(now()))
    assert ledger.read(job.id).version == 11


def test_a_job_is_accepted_while_redis_is_away(ledger):
    without = Ledger(ledger.objects, View.connect(NO_REDIS, 60))
    job = a_job()
    without.accept(job, b"image")
    assert without.current(job.id) == job
    assert list(without.current_many([job.id])) == [job]


def test_a_store_that_is_away_is_not_mistaken_for_a_missing_job(ledger):
    away = Ledger(Objects.connect("http://127.0.0.1:1", "osteo"), ledger.view)
    with pytest.raises(StoreUnavailable):
        away.read(a_job().id)
    with pytest.raises(StoreUnavailable):
        away.accept(a_job(), b"image")


def test_a_submission_that_was_not_stored_is_checked_after_ten_minutes(ledger):
    away = Ledger(Objects.connect("http://127.0.0.1:1", "osteo"), ledger.view)
    job, (study, members) = a_job(), a_study(1)
    with pytest.raises(StoreUnavailable):
        away.accept(job, b"image")
    with pytest.raises(StoreUnavailable):
        away.accept_study(study, ((member, b"image") for member in members))
    earliest = (now() + LEFTOVER_GRACE - timedelta(minutes=1)).timestamp()
    assert all(ledger.view.agenda.due_at(one.id) > earliest for one in (job, study))
    ledger.accept(job, b"image")
    assert ledger.view.agenda.due_at(job.id) == inf, "it waits in its client's queue"
    with pytest.raises(StoreUnavailable):
        away.accept(job, b"image")
    assert ledger.view.agenda.due_at(job.id) < earliest, "another request has stored it"


def test_access_denied_is_not_mistaken_for_a_missing_job(ledger, settings, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret of this server")
    denied = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
    with pytest.raises(StoreUnavailable):
        denied.get("anything")


def test_an_unknown_job_is_not_stored(ledger):
    with pytest.raises(NotStored):
        ledger.current(a_job().id)


def test_a_clients_jobs_are_listed_newest_first_from_a_cursor(ledger):
    jobs = [a_job() for _ in range(5)]
    for job in jobs:
        ledger.accept(job, b"image")
    ledger.accept(a_job(client="another"), b"image")
    newest_first = sorted((job.id for job in jobs), reverse=True)
    assert list(ledger.of_client("clinic", None)) == newest_first
    assert list(ledger.of_client("clinic", newest_first[1])) == newest_first[2:]


def test_nothing_remains_of_an_interrupted_submission(ledger):
    job = a_job()
    ledger.accept(job, b"image")
    ledger.erase_leftovers(job.id)
    assert list(ledger.objects.keys("")) == ["layout"]


def test_an_older_version_does_not_hide_a_newer_one_in_the_view(ledger):
    job = a_job()
    running = job.started("w", now())
    ledger.view.put(running)
    ledger.view.put(job)
    assert ledger.view.get_many([job.id])[0].state is State.RUNNING


def test_queue_positions_count_stat_then_routine_then_archive(ledger):
    routine = [a_job(), a_job()]
    stat, archive = a_job(priority="stat"), a_job(priority="archive")
    for number, job in enumerate([*routine, stat, archive]):
        ledger.view.put(job)
        assert ledger.view.client_queues.waiting_beside("clinic")[0] == number + 1
    assert ledger.view.client_queues.position(stat) == 0
    assert ledger.view.client_queues.position(archive) == 3
    assert sorted(ledger.view.client_queues.position(job) for job in routine) == [1, 2]
    ledger.view.put(stat.started("w", now()))
    assert ledger.view.client_queues.position(stat.started("w", now())) is None
    assert sorted(ledger.view.client_queues.position(job) for job in routine) == [0, 1]
