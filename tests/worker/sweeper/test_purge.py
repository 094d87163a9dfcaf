from datetime import timedelta
from types import SimpleNamespace

import pytest

from jobs.lifecycle.compare_and_set import change_job
from jobs.lifecycle.deletion import delete, erase_leftovers
from jobs.record.errors import StoreUnavailable
from jobs.record.ids import digest_of, new_id
from jobs.record.job import LEFTOVER_GRACE, Job, now
from jobs.record.states import State
from jobs.store.claims import Claim, own_id_claim_key
from jobs.store.uploads import upload_keys
from tests.conftest import a_job, only_a_tombstone_is_left
from tests.jobs.store.requests import watch
from tests.worker.conftest import after_a_while
from worker.sweeper.purge import AFTER_FAILURE, LONGEST_ROUND, Round, purge
from worker.sweeper.sweep import Sweeper

LONG_AGO = now() - timedelta(hours=2)
RESULT = {"finding": "fracture"}


def accepted(ledger, **changes):
    job = a_job(created_at=LONG_AGO, **changes)
    ledger.accept(job, b"image")
    return job


def ended(ledger, at=LONG_AGO, **changes):
    job = accepted(ledger, **changes)
    done = ledger.append(ledger.append(job.started("w", LONG_AGO)).succeeded(RESULT, at))
    ledger.settle(done)
    return done


def due(ledger) -> list[str]:
    return [key.rpartition("-")[2] for key in ledger.objects.keys("due/")]


def later(monkeypatch, by: timedelta) -> None:
    monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + by)


def test_a_job_is_deleted_at_the_end_of_its_retention(ledger, queue):
    over = ended(ledger, retention_seconds=60)
    for_ever = ended(ledger)
    purge(ledger, queue)
    assert only_a_tombstone_is_left(over.id, ledger)
    assert ledger.read(for_ever.id) == for_ever
    assert due(ledger) == [over.id], "once more, for what comes late"


def test_a_job_is_kept_from_its_end_on_and_not_from_its_beginning(ledger, queue, monkeypatch):
    job = ended(ledger, at=now(), retention_seconds=3600)
    for _ in range(2):
        purge(ledger, queue)
        assert ledger.read(job.id) == job
        assert due(ledger) == [job.id]
    later(monkeypatch, timedelta(hours=1, minutes=1))
    purge(ledger, queue)
    assert only_a_tombstone_is_left(job.id, ledger)


def test_a_job_that_has_not_ended_is_looked_at_again(ledger, queue, monkeypatch):
    job = accepted(ledger, retention_seconds=60)
    purge(ledger, queue)
    assert ledger.read(job.id) == job
    ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    later(monkeypatch, timedelta(minutes=3))
    purge(ledger, queue)
    assert ledger.read(job.id).state is State.ERASED


def test_an_object_written_after_a_deletion_is_erased_in_the_end(ledger, queue, redis, monkeypatch):
    job = accepted(ledger)
    running = ledger.append(job.started("w", now()))
    delete(job.id, ledger)
    late = f"dead-letters/{job.id}"
    ledger.objects.put(late, b"")
    purge(ledger, queue)
    assert ledger.objects.exists(late), "others may still come"
    redis.delete(f"job:{job.id}")
    ledger.view.put(running)
    later(monkeypatch, LEFTOVER_GRACE + timedelta(seconds=2))
    purge(ledger, queue)
    assert only_a_tombstone_is_left(job.id, ledger)
    assert due(ledger) == []


def test_a_deletion_is_finished_wherever_it_was_cut_off(ledger, queue, redis, monkeypatch):
    remove = ledger.objects.delete
    sweeper = Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))
    for deletes in range(5):
        job = ended(ledger)
        left = iter(range(deletes))

        def dies(key: str, left=left) -> None:
            if next(left, None) is None:
                raise StoreUnavailable("cut off")
            remove(key)

        with monkeypatch.context() as patched:
            patched.setattr(ledger.objects, "delete", dies)
            with pytest.raises(StoreUnavailable):
                delete(job.id, ledger)
        assert ledger.read(job.id).state is State.ERASED
        after_a_while(sweeper, redis)
        assert only_a_tombstone_is_left(job.id, ledger)


def test_a_job_that_settles_while_it_is_deleted_leaves_no_name(ledger, queue, redis, monkeypatch):
    sweeper = Sweeper(ledger, queue, max_attempts=3, running_limit=timedelta(seconds=60))
    key, uid = own_id_claim_key("clinic", "case 1"), digest_of("1.2.3")
    job = ended(ledger, claim=key, filed_under=uid)
    ledger.claims.take(Claim(key, job.id, "payload", now()), void=None)

    def after_a_sweep(*arguments):
        after_a_while(sweeper, redis)
        assert list(ledger.pending()) == [], "it is settled, and has no marker"
        return change_job(*arguments)

    def cut_off(_: Job) -> None:
        raise StoreUnavailable("cut off")

    with monkeypatch.context() as patched:
        patched.setattr("jobs.lifecycle.deletion.change_job", after_a_sweep)
        patched.setattr(ledger, "release", cut_off)
        with pytest.raises(StoreUnavailable):
            delete(job.id, ledger)
    after_a_while(sweeper, redis)
    assert only_a_tombstone_is_left(job.id, ledger)
    assert ledger.claims.read(key) is None
    assert list(ledger.of_study_uid("clinic", "1.2.3", 20)) == []


def an_upload(ledger) -> tuple[str, set[str]]:
    """Return the id of an upload of the client, and the keys of its image and its order."""
    upload = new_id("upload")
    for key in (keys := set(upload_keys("clinic", upload))):
        ledger.objects.put(key, b"image")
    return upload, keys


def test_a_deletion_erases_the_upload_that_its_job_was_submitted_by(ledger):
    upload, keys = an_upload(ledger)
    job = ended(ledger, upload=upload)
    delete(job.id, ledger)
    assert not keys & set(ledger.objects.keys(""))


def test_an_interrupted_submission_keeps_its_upload_for_the_next_one(ledger):
    upload, keys = an_upload(ledger)
    job = a_job(upload=upload)
    ledger.mark(job)
    erase_leftovers(job.id, ledger)
    assert set(ledger.objects.keys("")) - {"layout"} == keys


def test_a_reading_that_becomes_due_in_a_long_round_is_next(ledger, queue, monkeypatch):
    jobs, reading, at, done = (
        [new_id("job") for _ in range(3)],
        f"{new_id('reading')}.{new_id('job')}",
        [0.0],
        [],
    )
    for job_id in jobs:
        ledger.due_index.put(job_id, LONG_AGO)

    def purge_one(entry, *_: object) -> None:
        if not done:
            ledger.due_index.put(reading, LONG_AGO)
        done.append(entry.name)
        at[0] += LONGEST_ROUND + 1

    monkeypatch.setattr("worker.sweeper.purge._purge_one", purge_one)
    monkeypatch.setattr("worker.sweeper.purge.time", SimpleNamespace(monotonic=lambda: at[0]))
    assert [purge(ledger, queue) for _ in range(4)] == [Round.CUT_SHORT] * 3 + [Round.COMPLETE]
    assert done == [jobs[0], reading, *jobs[1:]]


def test_a_job_that_is_not_there_yet_is_not_forgotten(ledger, queue):
    job = a_job(retention_seconds=1)
    ledger.due_index.put(job.id, LONG_AGO)
    purge(ledger, queue)
    assert due(ledger) == [job.id]


def test_a_record_that_cannot_be_read_does_not_stop_the_others(ledger, queue):
    broken, over = ended(ledger, retention_seconds=60), ended(ledger, retention_seconds=60)
    ledger.objects.put(f"jobs/{broken.id}/ledger/000009", b"{")
    purge(ledger, queue)
    assert ledger.read(over.id).state is State.ERASED
    assert broken.id in due(ledger)


def cannot_serve(ledger, monkeypatch, *names: str) -> None:
    """Let the object store fail at each read of an object with one of these names in its key."""
    get = ledger.objects.get

    def fails_for_some(key: str) -> bytes:
        if any(name in key for name in names):
            raise StoreUnavailable(f"the object store answered InternalError for {key}")
        return get(key)

    monkeypatch.setattr(ledger.objects, "get", fails_for_some)


def test_jobs_that_the_store_cannot_serve_stop_no_other_deletion(ledger, queue, monkeypatch, caplog):
    bad = [ended(ledger, retention_seconds=60) for _ in range(4)]
    over = ended(ledger, retention_seconds=60)
    with monkeypatch.context() as patched:
        cannot_serve(ledger, patched, *(job.id for job in bad))
        purge(ledger, queue)
        assert only_a_tombstone_is_left(over.id, ledger)
    assert {job.id for job in bad} <= set(due(ledger))
    assert {record.job for record in caplog.records} == {job.id for job in bad}
    purge(ledger, queue)
    assert {ledger.read(job.id).state for job in bad} == {State.SUCCEEDED}, "they wait for a while"
    later(monkeypatch, AFTER_FAILURE + timedelta(seconds=2))
    purge(ledger, queue)
    assert {ledger.read(job.id).state for job in bad} == {State.ERASED}


def test_a_round_ends_where_the_store_answers_nothing(ledger, queue, monkeypatch):
    jobs, asked = [ended(ledger, retention_seconds=60) for _ in range(3)], []
    entries = set(ledger.objects.keys("due/"))

    def fails(key: str, *_: object) -> bytes:
        asked.append(key)
        raise StoreUnavailable("the object store does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(ledger.objects, "get", fails)
        patched.setattr(ledger.objects, "put", fails)
        with pytest.raises(StoreUnavailable):
            purge(ledger, queue)
    assert len(asked) == 2, "it reads one job, and cannot put it off"
    assert set(ledger.objects.keys("due/")) == entries
    purge(ledger, queue)
    assert {ledger.read(job.id).state for job in jobs} == {State.ERASED}


def test_a_round_costs_the_same_however_many_jobs_are_kept(ledger, queue):
    requests: list[str] = []
    watch(ledger.objects, lambda action, _: requests.append(action))
    for number in range(12):
        ended(ledger, at=now(), retention_seconds=86_400 * (number + 1))
    requests.clear()
    purge(ledger, queue)
    assert requests == ["ListBucket"] * 2, "for the clock, and for what is due"
