"""Changes records in place: API keys, webhook settings, receivers, probes and claims.

Each change is a compare-and-set, as in the ledger. A new version is an object of its own, written once. A
lock in Redis admits one writer at a time; so does `If-None-Match`, where the server supports it. At every
moment of a change a reader finds the old version or the new one.
"""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from redis import Redis

from jobs.record.errors import Conflict, NotStored, QueueAway, StoreUnavailable, TransientError
from jobs.redis.client import take, translated
from jobs.redis.script import script
from jobs.redis.view import LOCK_SECONDS, WRITE_SECONDS
from jobs.store.objects import Objects

PATIENCE = 5.0
"""Seconds after which a change is given up: the writer with the lock has died, or is very slow."""
PAUSE = 0.02
"""Seconds between two attempts to get the lock, on average."""
_MOST_LEFT = 1000
"""Most locks that are remembered for release: each ends by itself after LOCK_SECONDS."""
READS = 5
"""Most attempts to read a record whose version is replaced between listing and reading."""

Change = Callable[[bytes | None], bytes | None]
"""Makes the new record from the present one. None stands for no record. It may raise."""


class _Beaten(Exception):
    """Another writer has the lock, or was faster."""


@dataclass(frozen=True)
class Version:
    """The latest version of a record, and the names of all of its objects, the latest last."""

    objects: tuple[str, ...]
    body: bytes


class Records:
    """The records, each under a key: one object a version, of which the last one counts.

    The names of a record's objects begin with its key. A key that ends with a slash is a folder. An object
    whose name is the key itself was written before there were versions. Every method may raise
    StoreUnavailable.
    """

    def __init__(self, objects: Objects, redis: Redis) -> None:
        self.objects = objects
        self.redis = redis
        self._unlock = script(redis, "unlock")
        self._left: deque[tuple[str, str]] = deque(maxlen=_MOST_LEFT)
        """Locks that this process may hold without knowing, and their tokens: an answer was lost."""

    def read(self, key: str) -> bytes | None:
        """Return the record; None where there is none."""
        latest = self._latest(key)
        return latest.body if latest else None

    def all(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """Return the records whose keys start with `prefix` and are no folders, each with its key."""
        latest = {name.partition(".")[0]: name for name in self.objects.keys(prefix)}
        for key, name in latest.items():
            try:
                yield key, self.objects.get(name)
            except NotStored:  # It was replaced or removed since the listing.
                if (body := self.read(key)) is not None:
                    yield key, body

    def create(self, key: str, body: bytes) -> None:
        """Write a record whose key is new, so that no other writer knows it."""
        self.objects.put_new(_name(key, 1), body)

    def change(self, key: str, change: Change, at_any_price: bool = False) -> bytes | None:
        """Replace the record by what `change` makes of it, and return the new record.

        Raises what `change` raises. Without Redis the object store decides between two writers. Where it has
        no conditional writes, QueueAway is raised; with `at_any_price` the later writer wins instead.
        """
        gives_up = time.monotonic() + PATIENCE
        while True:
            try:
                return self._changed(key, change, at_any_price)
            except _Beaten as beaten:
                if time.monotonic() > gives_up:
                    raise StoreUnavailable(f"another writer has the lock of {key}") from beaten
                time.sleep(PAUSE * random.uniform(0.5, 1.5))

    def _changed(self, key: str, change: Change, at_any_price: bool) -> bytes | None:
        ends = time.monotonic() + LOCK_SECONDS
        with self._locked(key, at_any_price) as locked:
            before = self._latest(key)
            body = before.body if before else None
            after = change(body)
            if after == body:
                return after
            if time.monotonic() > ends - WRITE_SECONDS:
                raise StoreUnavailable("the object store is too slow")
            old = before.objects if before else ()
            if after is None:
                for name in old:  # The latest last, so that no reader finds an older version.
                    self.objects.delete(name)
                return None
            new = _name(key, _number(key, old[-1]) + 1 if old else 1)
            self._write(new, after, locked)
            if not locked:
                if not self._counts(key, old, new, after):
                    raise _Beaten
                return after  # The next change with the lock removes the old versions.
            with suppress(StoreUnavailable):  # The next change removes them.
                for name in old:
                    self.objects.delete(name)
            return after

    def _counts(self, key: str, old: tuple[str, ...], new: str, body: bytes) -> bool:
        """Return whether the version `new`, written without the lock, follows the versions `old`.

        A later version proves nothing: another writer may have made it from this one. A change without the
        lock removes no version, so that the server admits one writer to each number. A change with the lock
        may have removed versions since `old` was read, where Redis has just come back: then the last of `old`
        is gone. Where there was none, a later version leaves it open, and the change is made again.
        """
        if not self.objects.keeps_conditions():
            return self.read(key) == body
        names = list(self.objects.keys(key))
        return names[-1:] == [new] or (bool(old) and old[-1] in names)

    def _write(self, name: str, body: bytes, locked: bool) -> None:
        try:
            self.objects.put_new(name, body)
        except Conflict as conflict:
            # With the lock it can only be this record: the answer to its write was lost.
            with suppress(NotStored):
                if locked and self.objects.get(name) == body:
                    return
            raise _Beaten from conflict

    @contextmanager
    def _locked(self, key: str, at_any_price: bool) -> Iterator[bool]:
        """Hold the lock of a record; yield False without Redis. Raises _Beaten if another writer has it."""
        lock, token = f"lock:{key}", token_hex(8)
        try:
            with translated(self.redis):
                self._release_left()
                taken = take(self.redis, lock, token, LOCK_SECONDS)
        except QueueAway:
            self._left.append((lock, token))
            if not at_any_price and not self.objects.keeps_conditions():
                raise
            yield False
            return
        if not taken:
            raise _Beaten
        try:
            yield True
        finally:
            self._left.append((lock, token))
            with suppress(TransientError), translated(self.redis):
                self._release_left()

    def _release_left(self) -> None:
        for lock, token in self._left.copy():
            self._unlock(keys=[lock], args=[token])
            with suppress(ValueError):  # Another thread has released it as well.
                self._left.remove((lock, token))

    def _latest(self, key: str) -> Version | None:
        for _ in range(READS):
            objects = tuple(self.objects.keys(key))
            if not objects:
                return None
            with suppress(NotStored):  # It was replaced since the listing.
                return Version(objects, self.objects.get(objects[-1]))
        raise StoreUnavailable(f"{key} changes faster than it can be read")


def _name(key: str, number: int) -> str:
    return f"{key}{'' if key.endswith('/') else '.'}{number:012d}"


def _number(key: str, name: str) -> int:
    return int(name[len(key) :].lstrip(".") or 0)
