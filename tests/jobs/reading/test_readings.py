"""The store of readings: requests, claims by many at once, what outlives Redis, and what is erased."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from jobs.lifecycle.deletion import delete
from jobs.lifecycle.next_step import start_next_step
from jobs.reading.events import tell
from jobs.reading.follow_up import follow_up
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.reading import CLAIM_LASTS, KEPT_OPEN, Reading
from jobs.reading.readings import Readings, reading_id_of
from jobs.reading.states import Mode, ReadingState, Wish
from jobs.record.errors import IllegalMove, NotStored
from jobs.record.job import Job, moment_text, now
from tests.conftest import a_job, only_a_tombstone_is_left

URL = "https://clinic.example/hook"
POLICY = ReadingPolicy(groups=("bones",), sample=0.5)
RESULT = {"finding": "fracture", "probability": 0.9, "regions": []}


@pytest.fixture
def readings(ledger) -> Readings:
    Policies(ledger.records).put("clinic", POLICY)
    return Readings(ledger)


def stored(ledger, **changes) -> Job:
    job = a_job(**changes)
    ledger.accept(job, b"image")
    return job


def claim(reading: Reading, name: str) -> Reading:
    return reading.claimed(name, name.title(), now())


def report(number: int = 1) -> dict:
    said = {"finding": "fracture", "text": "private"}
    return {"number": number, "report": said, "jws": "a.b.c", "at": moment_text(now()), "reader": "ada"}


def events(ledger) -> list[str]:
    """The types of the events whose callbacks are due, oldest first."""
    jobs = [ledger.read(key) for key in ledger.pending() if key.startswith("event_")]
    return [job.event for job in sorted(jobs, key=lambda job: job.created_at)]


def test_of_fifty_readers_who_claim_at_once_one_gets_it(ledger, readings):
    reading = readings.request(stored(ledger), POLICY)

    def attempt(number: int) -> str | None:
        try:
            return readings.change(reading, lambda present: claim(present, f"reader {number}")).reader
        except IllegalMove:
            return None

    with ThreadPoolExecutor(12) as pool:
        winners = [winner for winner in pool.map(attempt, range(50)) if winner]
    assert winners == [readings.read(reading.id).reader]


def test_a_reading_outlives_a_wiped_redis(ledger, redis, readings):
    reading = readings.request(stored(ledger), POLICY, question="Scaphoid?")
    readings.change(reading, lambda present: claim(present, "ada"))
    redis.flushall()
    found = readings.read(reading.id)
    assert (found.state, found.reader, found.question) == (ReadingState.CLAIMED, "ada", "Scaphoid?")
    assert readings.open(["bones"]) == [found]
    assert readings.of_job(reading.job) == [found]


def test_the_worklist_of_a_group_has_its_open_readings_alone(ledger, readings):
    late, soon = (readings.request(stored(ledger), POLICY, priority=p) for p in ("routine", "stat"))
    readings.request(stored(ledger), replace(POLICY, groups=("chests",)))
    over = readings.request(stored(ledger), POLICY)
    readings.change(over, lambda present: present.canceled(now()))
    assert {reading.id for reading in readings.open(["bones"])} == {late.id, soon.id}


def test_deleting_a_job_erases_its_readings(ledger, readings):
    job = stored(ledger, callback_url=URL)
    reading = readings.request(job, POLICY, question="Of whom?")
    delete(job.id, ledger)
    assert only_a_tombstone_is_left(job.id, ledger)
    assert readings.open(["bones"]) == []
    with pytest.raises(NotStored):
        readings.read(reading.id)
    with pytest.raises(NotStored):
        readings.change(reading, lambda present: claim(present, "ada"))
    assert not [key for key in ledger.objects.keys("readings/") if "/notices/" not in key]


def test_a_deleted_job_gets_no_reading(ledger, readings):
    job = stored(ledger)
    delete(job.id, ledger)
    with pytest.raises(NotStored):
        readings.request(job, POLICY)
    assert not [key for key in ledger.objects.keys("readings/") if "/notices/" not in key]


@pytest.mark.parametrize(
    ("wish", "finding", "read"),
    [
        (Wish.REQUESTED, "no_fracture", True),
        (Wish.IF_POSITIVE, "fracture", True),
        (Wish.IF_POSITIVE, "indeterminate", True),
        (Wish.IF_POSITIVE, "no_fracture", False),
        (Wish.IF_INDETERMINATE, "indeterminate", True),
        (Wish.IF_INDETERMINATE, "fracture", False),
    ],
)
def test_a_job_is_read_as_its_wish_and_its_result_say(ledger, queue, readings, wish, finding, read):
    job = stored(ledger, reading={"wish": wish, "due_seconds": 600, "question": None})
    running = ledger.append(job.started("w", now()))
    ended = ledger.append(running.succeeded(RESULT | {"finding": finding}, now()))
    start_next_step(ended, ledger, queue)
    start_next_step(ended, ledger, queue)
    found = readings.of_job(job.id)
    assert [reading.id for reading in found] == ([reading_id_of(job)] if read else [])
    assert all(reading.due_at == job.created_at + timedelta(seconds=600) for reading in found)


def test_a_sample_takes_the_share_of_the_policy(ledger):
    wish = {"wish": Wish.SAMPLE}
    jobs = [replace(a_job(), reading=wish, result=RESULT) for _ in range(400)]
    assert 140 < sum(POLICY.asks_for(job) for job in jobs) < 260
    assert all(not replace(POLICY, sample=0.0).asks_for(job) for job in jobs)


def test_each_change_becomes_one_event_without_a_word_of_the_report(ledger, queue, readings):
    reading = readings.request(stored(ledger), POLICY, callback_url=URL, question="secret")
    reading = readings.change(reading, lambda present: claim(present, "ada"))
    tell(reading, ledger, queue)
    reading = readings.change(
        reading, lambda present: present.committed_with("fracture", [], True, {"kind": "none"}, now())
    )
    reading = readings.change(
        reading, lambda present: present.signed(report(), {"kind": "none", "grade": None}, now())
    )
    for _ in range(3):
        follow_up(reading.id, reading.job, now(), ledger, queue)
    assert events(ledger) == ["reading.requested", "reading.claimed", "reading.signed"]
    told = b"".join(ledger.objects.get(f"pending/{key}") for key in ledger.pending() if "event_" in key)
    assert b"secret" not in told
    assert b"private" not in told


def test_a_claim_lapses_and_the_reading_is_told_overdue_once(ledger, queue, readings):
    reading = readings.request(stored(ledger), POLICY, due_at=now() + timedelta(minutes=10), callback_url=URL)
    readings.change(reading, lambda present: claim(present, "ada"))
    for _ in range(2):
        follow_up(reading.id, reading.job, now() + CLAIM_LASTS, ledger, queue)
    found = readings.read(reading.id)
    assert (found.state, found.reader) == (ReadingState.REQUESTED, None)
    for _ in range(2):
        follow_up(reading.id, reading.job, now() + CLAIM_LASTS, ledger, queue)
    assert [entry["type"] for entry in readings.read(reading.id).history].count("overdue") == 1
    assert events(ledger)[-1] == "reading.overdue"
    follow_up(reading.id, reading.job, now() + KEPT_OPEN + timedelta(minutes=11), ledger, queue)
    assert readings.read(reading.id).state is ReadingState.EXPIRED


def test_a_grave_disagreement_is_arbitrated_by_another_reader(ledger, queue, readings):
    reading = readings.request(stored(ledger), POLICY)
    reading = readings.change(reading, lambda present: claim(present, "ada"))
    reading = readings.change(
        reading,
        lambda present: present.committed_with("no_fracture", [], True, {"kind": "overcalled"}, now()),
    )
    reading = readings.change(
        reading, lambda present: present.signed(report(), {"kind": "overcalled", "grade": "3b"}, now())
    )
    for _ in range(2):
        follow_up(reading.id, reading.job, now(), ledger, queue)
    (second,) = [other for other in readings.of_job(reading.job) if other.arbitrates]
    assert (second.arbitrates, second.mode) == (reading.id, Mode.ASSISTED)
    with pytest.raises(IllegalMove):
        readings.change(second, lambda present: claim(present, "ada"))
    assert readings.change(second, lambda present: claim(present, "bob")).reader == "bob"


def test_a_clients_many_readings_hide_no_other_clients(ledger, readings, monkeypatch):
    monkeypatch.setattr("jobs.reading.reading_index.MOST_SHOWN", 6)
    early = now() - timedelta(hours=1)
    for _ in range(8):
        readings.request(stored(ledger, client="flood"), POLICY, due_at=early)
    one, urgent = (readings.request(stored(ledger), POLICY, priority=p) for p in ("routine", "stat"))
    found = readings.open(["bones"])
    assert len(found) == 6
    assert found[0].id == urgent.id
    assert one.id in {reading.id for reading in found}


def test_what_a_process_left_behind_its_change_is_made_up_for(ledger, queue, readings):
    reading = readings.request(stored(ledger), POLICY)
    readings.save(reading, lambda present: present.canceled(now()))
    assert readings.index.queue("bones"), "the process died before it wrote the index"
    follow_up(reading.id, reading.job, now(), ledger, queue)
    assert not readings.index.queue("bones")
    readings.index.put(reading)
    delete(reading.job, ledger)
    readings.index.put(reading)
    follow_up(reading.id, reading.job, now(), ledger, queue)
    assert not readings.index.queue("bones"), "a slower process wrote it after the deletion"
