"""The tests of conditional writes, which run where TEST_S3 is `seaweedfs`: test_seaweedfs.py starts them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from redis import Redis

from jobs.record.errors import Conflict
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.records import Records
from tests.jobs.store.test_records import NO_REDIS, one_more

WRITERS = 20
ROUNDS = 20


@pytest.fixture
def objects(ledger: Ledger) -> Objects:
    return ledger.objects


def test_the_service_finds_that_the_server_keeps_conditions(objects: Objects):
    assert objects.keeps_conditions()


def test_of_twenty_writers_of_a_new_key_one_writes(objects: Objects):
    barrier = Barrier(WRITERS)

    def write(key: str, body: bytes) -> bool:
        barrier.wait()
        try:
            objects.put_new(key, body)
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(WRITERS) as pool:
        for number in range(ROUNDS):
            key, bodies = f"race/{number}", [str(writer).encode() for writer in range(WRITERS)]
            wrote = list(pool.map(lambda body, key=key: write(key, body), bodies))
            assert sum(wrote) == 1
            assert objects.get(key) == bodies[wrote.index(True)]


def test_without_redis_the_server_decides_between_two_writers(objects: Objects):
    records = Records(objects, NO_REDIS)
    records.create("flat/record", b"0")

    def write(_: int) -> None:
        for _ in range(20):
            records.change("flat/record", one_more)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert records.read("flat/record") == b"40"


def test_a_change_that_another_writer_built_upon_is_made_once(objects: Objects, monkeypatch):
    records, put_new = Records(objects, NO_REDIS), objects.put_new

    def then_another_writer(key: str, body: bytes) -> None:
        put_new(key, body)
        monkeypatch.setattr(objects, "put_new", put_new)
        records.change("flat/record", one_more)

    records.change("flat/record", one_more)
    monkeypatch.setattr(objects, "put_new", then_another_writer)
    records.change("flat/record", one_more)
    assert records.read("flat/record") == b"3"


@pytest.mark.parametrize("exists", [True, False])
def test_a_change_made_from_a_removed_version_is_made_again(
    objects: Objects, redis: Redis, monkeypatch, exists: bool
):
    records, put_new = Records(objects, NO_REDIS), objects.put_new

    def after_other_writers(key: str, body: bytes) -> None:
        monkeypatch.setattr(objects, "put_new", put_new)
        for _ in range(2):  # Redis has come back.
            Records(objects, redis).change("flat/record", one_more)
        put_new(key, body)

    if exists:
        records.change("flat/record", one_more)
    monkeypatch.setattr(objects, "put_new", after_other_writers)
    records.change("flat/record", one_more)
    assert records.read("flat/record") == (b"4" if exists else b"3")
