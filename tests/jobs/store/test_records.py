"""Tests one change of a record, cut off at any point; tests/test_races.py has two changes at once.

on_seaweedfs.py has changes without Redis on a server that keeps `If-None-Match`.
"""

import os
from contextlib import suppress

import pytest
from redis import Redis

from jobs.record.errors import Conflict, QueueAway, StoreUnavailable
from jobs.redis.client import connect
from jobs.store.records import Records
from tests.conftest import await_that
from tests.jobs.redis.lost_answers import lose_answers
from tests.jobs.store.s3_server import SETTING

NO_REDIS = connect("redis://127.0.0.1:1/0")


@pytest.fixture
def records(ledger) -> Records:
    return ledger.records


def one_more(record: bytes | None) -> bytes:
    return str(int(record or 0) + 1).encode()


@pytest.mark.parametrize("key", ["flat/record", "folder/record/"])
def test_a_record_is_one_object_after_every_change(records: Records, key: str):
    assert records.read(key) is None
    for number in range(1, 12):
        assert records.change(key, one_more) == str(number).encode()
    assert records.read(key) == b"11"
    assert len(list(records.objects.keys(key))) == 1
    assert records.change(key, lambda _: None) is None
    assert (records.read(key), list(records.objects.keys(key))) == (None, [])


def test_a_record_from_before_versions_can_be_changed(records: Records):
    records.objects.put("flat/record", b"7")
    assert records.read("flat/record") == b"7"
    assert records.change("flat/record", one_more) == b"8"
    assert dict(records.all("flat/")) == {"flat/record": b"8"}


def test_a_change_that_raises_or_changes_nothing_writes_nothing(records: Records):
    records.create("flat/record", b"1")
    before = list(records.objects.keys("flat/"))
    with pytest.raises(ZeroDivisionError):
        records.change("flat/record", lambda _: b"%d" % (1 // 0))
    assert records.change("flat/record", lambda record: record) == b"1"
    assert list(records.objects.keys("flat/")) == before
    assert records.change("flat/record", one_more) == b"2", "the lock is free again"


def test_the_lock_of_a_writer_that_died_ends_by_itself(records: Records, redis: Redis):
    redis.set("lock:flat/record", "a dead writer", px=300)
    assert records.change("flat/record", one_more) == b"1"


def test_a_lock_whose_answer_was_lost_is_released_by_the_next_change(
    records: Records, redis: Redis, monkeypatch
):
    def released() -> bool:
        with suppress(QueueAway):  # For two seconds after an error the client asks Redis for nothing.
            records.change("flat/record", one_more)
        return not redis.exists("lock:flat/record")

    lose_answers(monkeypatch, "lock:flat/record", 2)
    assert not released()
    await_that(released)


def test_a_lock_that_stays_taken_ends_in_an_error(records: Records, redis: Redis, monkeypatch):
    monkeypatch.setattr("jobs.store.records.PATIENCE", 0.1)
    redis.set("lock:flat/record", "another writer")
    with pytest.raises(StoreUnavailable, match="another writer"):
        records.change("flat/record", one_more)
    assert redis.get("lock:flat/record") == b"another writer"


def test_no_older_version_shows_wherever_a_change_is_cut_off(records: Records, monkeypatch):
    def cut_off(*_: object) -> None:
        raise StoreUnavailable("cut off")

    records.create("flat/record", b"1")
    with monkeypatch.context() as patched:
        patched.setattr(records.objects, "put_new", cut_off)
        with pytest.raises(StoreUnavailable):
            records.change("flat/record", one_more)
    assert records.read("flat/record") == b"1"
    with monkeypatch.context() as patched:
        patched.setattr(records.objects, "delete", cut_off)
        assert records.change("flat/record", one_more) == b"2", "what is written stands"
        with pytest.raises(StoreUnavailable):
            records.change("flat/record", lambda _: None)
    assert records.read("flat/record") == b"2"
    removed: list[str] = []
    delete = records.objects.delete
    monkeypatch.setattr(records.objects, "delete", lambda key: (removed.append(key), delete(key)))
    records.change("flat/record", lambda _: None)
    assert len(removed) == 2
    assert removed == sorted(removed), "the latest last"


def test_a_write_whose_answer_was_lost_is_not_repeated(records: Records, monkeypatch):
    put_new = records.objects.put_new

    def sent_twice(key: str, body: bytes) -> None:
        put_new(key, body)
        raise Conflict(key)

    monkeypatch.setattr(records.objects, "put_new", sent_twice)
    assert records.change("flat/record", one_more) == b"1"


@pytest.mark.skipif(os.environ.get(SETTING) == "seaweedfs", reason="SeaweedFS keeps conditions")
def test_without_redis_and_conditions_a_change_is_refused(records: Records):
    alone = Records(records.objects, NO_REDIS)
    alone.create("flat/record", b"1")
    with pytest.raises(QueueAway):
        alone.change("flat/record", one_more)
    assert alone.read("flat/record") == b"1"
    assert alone.change("flat/record", one_more, at_any_price=True) == b"2"
