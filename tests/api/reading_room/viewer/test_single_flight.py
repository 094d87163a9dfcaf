"""Tests that threads which ask for one object at the same time share one read of it."""

from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from api.reading_room.viewer.single_flight import SingleFlight
from jobs.record.errors import NotStored


def test_threads_that_ask_at_the_same_time_share_one_read():
    reads, under_way, asked = SingleFlight(), Event(), Event()

    class Job(str):
        """An id that is looked for while no other thread can end its read."""

        def __hash__(self) -> int:
            asked.set()
            return super().__hash__()

    def read() -> bytes:
        under_way.set()
        asked.wait()
        return b"radiograph"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(reads.read, "job", read)
        under_way.wait()
        assert reads.read("other", lambda: b"another") == b"another"
        second = pool.submit(reads.read, Job("job"), lambda: b"read again")
        assert (first.result(), second.result()) == (b"radiograph", b"radiograph")
    assert reads.read("job", lambda: b"new") == b"new", "nothing is kept"


def test_a_read_that_fails_fails_for_each_thread_and_is_repeated():
    reads = SingleFlight()

    def missing() -> bytes:
        raise NotStored("job")

    for _ in range(2):
        with pytest.raises(NotStored):
            reads.read("job", missing)
    assert reads.read("job", lambda: b"found") == b"found"
