"""The figures of the readings follow every change, cost the same for many, and come back after a wipe."""

from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.lifecycle.deletion import delete
from jobs.reading.follow_up import follow_up
from jobs.reading.policy import ReadingPolicy
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.record.errors import QueueAway, StoreUnavailable
from jobs.record.job import moment_text, now
from jobs.record.states import Priority
from jobs.redis.reading_figures import PriorityFigures, ReadingFigures, ReadingShown, turnaround
from tests.conftest import a_job
from worker.sweeper.reconcile import restore_figures

POLICY = ReadingPolicy(groups=("bones", "chests"))
NOTHING = PriorityFigures(0, None, 0)


@pytest.fixture
def figures(ledger) -> ReadingFigures:
    return ledger.view.reading_figures


def request(ledger, **wishes) -> Reading:
    job = a_job()
    ledger.accept(job, b"image")
    return Readings(ledger).request(job, POLICY, **wishes)


def claim(ledger, reading: Reading) -> Reading:
    return Readings(ledger).change(reading, lambda present: present.claimed("reader_a", "Ada", now()))


def sign(ledger, reading: Reading, kind: str = "missed") -> Reading:
    committed = reading.committed_with("fracture", [], True, {"kind": kind}, now())
    Readings(ledger).save(reading, lambda _: committed)
    return Readings(ledger).change(
        reading,
        lambda present: present.signed(
            {"number": 1, "reader": "reader_a", "at": moment_text(now())},
            {**(present.disagreement or {}), "grade": "1"},
            now(),
        ),
    )


def counts(ledger) -> dict[str, int]:
    return {name: count for name, count in ledger.view.counts().items() if name.startswith("reading-")}


def test_figures_follow_a_reading_from_its_request_to_its_signature(ledger, figures):
    at = now()
    routine, stat = request(ledger), request(ledger, priority="stat")
    found = figures.by_priority(at.timestamp())
    assert (found[Priority.STAT].waiting, found[Priority.ROUTINE].waiting) == (1, 1)
    since = found[Priority.STAT].oldest_since
    assert since == pytest.approx(stat.requested_at.timestamp())
    assert found[Priority.STAT].overdue == 0
    late = stat.due_at.timestamp() + 1
    assert figures.by_priority(late)[Priority.STAT].overdue == 1
    claimed = claim(ledger, stat)
    assert figures.by_priority(late)[Priority.STAT] == PriorityFigures(0, None, 1)
    sign(ledger, claimed)
    assert figures.by_priority(late)[Priority.STAT] == NOTHING
    assert counts(ledger) == {
        "reading-turnaround:stat:300": 1,
        "reading-turnaround-sum:stat": 0,
        "reading-disagreement:missed": 1,
    }
    Readings(ledger).change(routine, lambda present: present.canceled(now()))
    assert figures.by_priority(late)[Priority.ROUTINE] == NOTHING
    assert figures.open() == set()


def test_an_overdue_reading_is_counted_once(ledger, queue, figures):
    reading = request(ledger, priority="stat", due_at=now() - timedelta(seconds=1))
    for _ in range(3):
        follow_up(reading.id, reading.job, now(), ledger, queue)
        Readings(ledger).change(claim(ledger, reading), lambda present: present.released(now()))
    assert counts(ledger) == {"reading-overdue:stat": 1}


def test_an_older_version_that_comes_late_changes_nothing(ledger, figures):
    first = request(ledger)
    claimed = claim(ledger, first)
    Readings(ledger).show(first)
    assert figures.by_priority(0)[Priority.ROUTINE].waiting == 0
    sign(ledger, claimed)
    Readings(ledger).show(claimed)
    assert figures.open() == set()


def test_a_change_whose_process_died_is_shown_by_the_sweeper(ledger, queue, figures, monkeypatch):
    reading = claim(ledger, request(ledger))
    with monkeypatch.context() as dying:
        dying.setattr(Readings, "show", lambda *_: None)
        sign(ledger, reading)
    assert figures.open() == {reading.id}
    for _ in range(2):
        follow_up(reading.id, reading.job, now(), ledger, queue)
    assert figures.open() == set()
    assert counts(ledger)["reading-disagreement:missed"] == 1


def test_what_is_open_comes_back_after_a_wipe_and_counts_begin_at_0(ledger, redis, figures):
    waiting, claimed, over = request(ledger), claim(ledger, request(ledger)), claim(ledger, request(ledger))
    sign(ledger, over)
    before = figures.by_priority(0)
    redis.flushall()
    assert figures.by_priority(0)[Priority.ROUTINE] == NOTHING
    restore_figures(ledger)
    assert figures.by_priority(0) == before
    assert figures.open() == {waiting.id, claimed.id}
    assert counts(ledger) == {}


def test_one_reading_that_the_store_cannot_serve_hides_no_other(ledger, redis, figures, monkeypatch):
    bad, good = request(ledger), request(ledger)
    get = ledger.objects.get

    def fails_for_one(key: str) -> bytes:
        if bad.id in key:
            raise StoreUnavailable(f"the object store answered InternalError for {key}")
        return get(key)

    redis.flushall()
    with monkeypatch.context() as patched:
        patched.setattr(ledger.objects, "get", fails_for_one)
        restore_figures(ledger)
    assert figures.open() == {good.id}


def test_a_reading_that_redis_missed_the_end_of_is_hidden_again(ledger, figures, monkeypatch):
    reading, erased = request(ledger), request(ledger)
    with monkeypatch.context() as away:
        away.setattr(Readings, "show", lambda *_: None)
        Readings(ledger).change(reading, lambda present: present.canceled(now()))
        away.setattr(ReadingFigures, "hide", lambda *_: None)
        delete(erased.job, ledger)
    assert figures.open() == {reading.id, erased.id}
    restore_figures(ledger)
    assert figures.open() == set()


def test_a_deleted_job_leaves_its_counts_and_no_name_of_its_reading(ledger, redis, figures):
    signed, waiting = sign(ledger, claim(ledger, request(ledger))), request(ledger)
    before = counts(ledger)
    for reading in (signed, waiting):
        delete(reading.job, ledger)
    assert counts(ledger) == before != {}
    assert figures.by_priority(1e12) == dict.fromkeys(Priority, NOTHING)
    assert not redis.keys("reading:*")


def test_a_redis_that_does_not_answer_keeps_no_reading_from_being_claimed(ledger, figures, monkeypatch):
    reading = request(ledger)

    def away(*_: object) -> None:
        raise QueueAway("away")

    monkeypatch.setattr(ReadingFigures, "show", away)
    assert claim(ledger, reading).reader == "reader_a"


def test_the_figures_cost_the_same_however_many_readings_there_are(redis, figures):
    def commands() -> dict[str, int]:
        redis.config_resetstat()
        figures.by_priority(0)
        return {
            name: stat["calls"] for name, stat in redis.info("commandstats").items() if "config" not in name
        }

    shown = ReadingShown("reading_0", "clinic", 1, Priority.STAT, 0.0, 0.0, waits=True, open=True)
    figures.show(shown)
    few = commands()
    for number in range(1, 200):
        figures.show(replace(shown, id=f"reading_{number}"))
    assert commands() == few


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, "300.0"), (300, "300.0"), (301, "900.0"), (10**7, "+Inf")]
)
def test_a_turnaround_lies_in_the_first_bucket_that_holds_it(ledger, figures, seconds, bucket):
    open_ = ReadingShown("reading_0", "clinic", 1, Priority.STAT, 0.0, 0.0, open=True)
    figures.show(open_)
    figures.show(replace(open_, version=2, open=False, turnaround=seconds, disagreement="none"))
    buckets, total = turnaround(ledger.view.counts(), Priority.STAT)
    assert total == seconds
    assert next(name for name, count in buckets if count) == bucket
    assert buckets[-1] == ("+Inf", 1.0)
    assert turnaround(ledger.view.counts(), Priority.ROUTINE)[0][-1] == ("+Inf", 0.0)
