"""The tests of conditional writes, which run where TEST_S3 is `seaweedfs`: test_seaweedfs.py starts them."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from jobs.record.errors import Conflict
from jobs.redis.client import connect
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.records import Records

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
    records = Records(objects, connect("redis://127.0.0.1:1/0"))

    def write(_: int) -> None:
        for _ in range(20):
            records.change("flat/record", lambda record: str(int(record or 0) + 1).encode())

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, range(2)))
    assert records.read("flat/record") == b"40"
