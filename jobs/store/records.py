"""Records that are changed in place: API keys, webhook settings, receivers, probes and claims.

Each change is a compare-and-set, as the ledger's are: a new version is an object of its own, written once. A
lock in Redis admits one writer at a time; `If-None-Match` decides where the server knows it. No step of a
change leaves a moment in which there is no record, or an older one.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from secrets import token_hex

from redis import Redis

from jobs.record.errors import Conflict, NotStored, QueueAway, StoreUnavailable, TransientError
from jobs.redis.client import translated
from jobs.redis.view import LOCK_SECONDS, WRITE_SECONDS
from jobs.store.objects import Objects

PATIENCE = 5.0
"""Seconds after which a change is given up: the other writer has died, or is very slow."""
PAUSE = 0.02
"""About so many seconds pass between two attempts to get the lock."""
READS = 5
"""Times that a record is read anew because its version was replaced between listing and reading."""

_UNLOCK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"

Change = Callable[[bytes | None], bytes | None]
"""What a record becomes, from what it is; None where there is none, or none is to be left. It may raise."""


class _Beaten(Exception):
    """Another writer holds the lock, or was faster."""


@dataclass(frozen=True)
class Version:
    """The latest version of a record, and all of its objects, the latest last."""

    objects: tuple[str, ...]
    body: bytes


class Records:
    """The records, each at a place of its own: one object a version, of which the last one counts.

    A place that ends with a slash is a folder. Any other is the beginning of its objects' names; one of
    exactly that name was written before there were versions. Every method may raise StoreUnavailable.
    """

    def __init__(self, objects: Objects, redis: Redis) -> None:
        self.objects = objects
        self._redis = redis
        self._unlock = redis.register_script(_UNLOCK)

    def read(self, place: str) -> bytes | None:
        """The record as it is; None where there is none."""
        latest = self._latest(place)
        return latest.body if latest else None

    def all(self, prefix: str) -> Iterator[tuple[str, bytes]]:
        """The records whose places start with `prefix`, and are no folders, each with its place."""
        latest = {key.partition(".")[0]: key for key in self.objects.keys(prefix)}
        for place, key in latest.items():
            try:
                yield place, self.objects.get(key)
            except NotStored:  # It has just been replaced, or removed.
                if (body := self.read(place)) is not None:
                    yield place, body

    def create(self, place: str, body: bytes) -> None:
        """Write a record whose place is of its own making, so that no other writer knows it."""
        self.objects.put_new(_name(place, 1), body)

    def change(self, place: str, change: Change, at_any_price: bool = False) -> bytes | None:
        """Replace the record by what `change` makes of it; what stands there then.

        Raises what `change` raises. Without Redis the object store alone decides; where it cannot, QueueAway
        is raised, unless the record is to be changed `at_any_price`: then the later of two writers wins.
        """
        gives_up = time.monotonic() + PATIENCE
        while True:
            try:
                return self._changed(place, change, at_any_price)
            except _Beaten as beaten:
                if time.monotonic() > gives_up:
                    raise StoreUnavailable(f"another writer holds {place}") from beaten
                time.sleep(PAUSE * random.uniform(0.5, 1.5))

    def _changed(self, place: str, change: Change, at_any_price: bool) -> bytes | None:
        opens = time.monotonic() + LOCK_SECONDS
        with self._locked(place, at_any_price) as locked:
            before = self._latest(place)
            body = before.body if before else None
            after = change(body)
            if after == body:
                return after
            if time.monotonic() > opens - WRITE_SECONDS:
                raise StoreUnavailable("the object store is too slow")
            old = before.objects if before else ()
            if after is None:
                for key in old:  # The latest last: no older version may show in between.
                    self.objects.delete(key)
                return None
            name = _name(place, _number(place, old[-1]) + 1 if old else 1)
            self._write(name, after, locked)
            if not locked and self.read(place) != after:
                raise _Beaten
            with suppress(StoreUnavailable):  # The next change removes them.
                for key in old:
                    self.objects.delete(key)
            return after

    def _write(self, name: str, body: bytes, locked: bool) -> None:
        try:
            self.objects.put_new(name, body)
        except Conflict as conflict:
            # Behind the lock it can only be this very record: its write's answer was lost on the way.
            with suppress(NotStored):
                if locked and self.objects.get(name) == body:
                    return
            raise _Beaten from conflict

    @contextmanager
    def _locked(self, place: str, at_any_price: bool) -> Iterator[bool]:
        """Whether Redis let this writer alone in. Raises _Beaten where another one is."""
        lock, token = f"lock:{place}", token_hex(8)
        try:
            with translated(self._redis):
                held = self._redis.set(lock, token, nx=True, ex=LOCK_SECONDS)
                # The answer to a first attempt may have been lost with its connection.
                held = held or self._redis.get(lock) == token.encode()
        except QueueAway:
            if not at_any_price and not self.objects.keeps_conditions():
                raise
            yield False
            return
        if not held:
            raise _Beaten
        try:
            yield True
        finally:
            with suppress(TransientError), translated(self._redis):  # It opens by itself.
                self._unlock(keys=[lock], args=[token])

    def _latest(self, place: str) -> Version | None:
        for _ in range(READS):
            objects = tuple(self.objects.keys(place))
            if not objects:
                return None
            with suppress(NotStored):  # It has just been replaced.
                return Version(objects, self.objects.get(objects[-1]))
        raise StoreUnavailable(f"{place} changes faster than it can be read")


def _name(place: str, number: int) -> str:
    return f"{place}{'' if place.endswith('/') else '.'}{number:012d}"


def _number(place: str, name: str) -> int:
    return int(name[len(place) :].lstrip(".") or 0)
