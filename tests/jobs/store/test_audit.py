"""Tests that the audit log loses no entry with a process, and changes none that is written."""

import json
import time
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest
from redis import Redis

from jobs.record.errors import StoreUnavailable
from jobs.record.job import moment_text, now
from jobs.redis.client import connect
from jobs.store.audit import STREAM, Audit, AuditEntry
from jobs.store.objects import Objects
from worker.roles import run_sweeper

AWAY = "http://127.0.0.1:1"
NO_REDIS = "redis://127.0.0.1:1/0"


class KilledHere(BaseException):
    """Stands for a kill of the process at this point."""


@pytest.fixture
def objects(ledger) -> Objects:
    return ledger.objects


@pytest.fixture
def audit(objects, redis) -> Audit:
    return Audit(objects, redis)


def subjects(audit: Audit, since=None) -> list[str]:
    return [entry["subject"] for entry in audit.entries(since or now() - timedelta(minutes=1))]


def an_act(subject: str, **changes) -> AuditEntry:
    return AuditEntry("clinic", "getJob", key="k", subject=subject, status=200, **changes)


def test_an_entry_of_a_process_that_died_is_carried_over_by_another(audit, objects, settings):
    Audit(objects, Redis.from_url(settings.redis_url)).record(an_act("a"))
    assert list(objects.keys("audit/")) == [], "noting costs the object store nothing"
    audit.carry_over()
    assert subjects(audit) == ["a"]
    assert audit._redis.xlen(STREAM) == 0


def test_a_batch_is_one_object_however_many_acts_it_has(audit, objects):
    for number in range(30):
        audit.record(an_act(str(number)))
    audit.carry_over()
    assert len(list(objects.keys("audit/"))) == 1
    assert subjects(audit) == [str(number) for number in range(30)]


def test_a_sweeper_killed_before_it_removed_entries_doubles_none(audit, objects, monkeypatch):
    def killed(*_):
        raise KilledHere

    audit.record(an_act("a"))
    with monkeypatch.context() as patched:
        patched.setattr(audit._redis, "xdel", killed)
        with pytest.raises(KilledHere):
            audit.carry_over()
    assert subjects(audit) == ["a"]
    audit.record(an_act("b"))
    audit.carry_over()
    assert len(list(objects.keys("audit/"))) == 2
    assert subjects(audit) == ["a", "b"]


def test_no_entry_is_removed_that_the_object_store_did_not_take(audit, redis, settings):
    audit.record(an_act("a"))
    with pytest.raises(StoreUnavailable):
        Audit(Objects.connect(AWAY, "osteo"), redis).carry_over()
    audit.carry_over()
    assert subjects(audit) == ["a"]


def test_an_act_is_written_to_the_object_store_while_redis_is_away(audit, objects):
    Audit(objects, connect(NO_REDIS)).record(an_act("a"))
    assert subjects(audit) == ["a"]


def test_an_act_recorded_durably_is_in_the_object_store_at_once(audit, objects, redis):
    audit.record_durably(an_act("a"))
    assert subjects(audit) == ["a"]
    Audit(Objects.connect(AWAY, "osteo"), redis).record_durably(an_act("b"))
    audit.carry_over()
    assert subjects(audit) == ["a", "b"]


def test_an_act_that_no_store_takes_goes_to_the_log(caplog):
    Audit(Objects.connect(AWAY, "osteo"), connect(NO_REDIS)).record(an_act("a"))
    assert [record.entry["subject"] for record in caplog.records if hasattr(record, "entry")] == ["a"]


def test_an_entry_that_waited_for_days_is_found_by_its_own_time(audit, objects):
    days_ago = now() - timedelta(days=3)
    audit.record(an_act("old", at=moment_text(days_ago)))
    audit.record(an_act("new"))
    audit.carry_over()
    assert subjects(audit) == ["new"]
    assert subjects(audit, days_ago) == ["old", "new"]
    (name,) = objects.keys("audit/")
    assert [json.loads(line)["subject"] for line in objects.get(name).splitlines()] == ["old", "new"]


def test_the_sweeper_carries_over_the_entries_in_redis(audit, settings):
    audit.record(an_act("a"))
    stop = Event()
    sweeper = Thread(target=run_sweeper, args=[replace(settings, sweep_seconds=0.05), stop])
    sweeper.start()
    try:
        deadline = time.monotonic() + 180
        while not subjects(audit):
            assert time.monotonic() < deadline, "the sweeper carries nothing over"
            time.sleep(0.05)
    finally:
        stop.set()
        sweeper.join()
