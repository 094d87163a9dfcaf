"""Which receivers of callbacks fail, and since when: one that fails for days is not called any more."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from jobs.errors import NotStored
from jobs.job import moment_text
from jobs.objects import Objects
from jobs.recent import Recent

PATIENCE = timedelta(days=5)
"""A receiver that has only failed for so long is disabled."""


@dataclass(frozen=True)
class Receiver:
    """Scheme, host and port that a client's callbacks go to, and what is wrong with it, if anything."""

    client: str
    origin: str
    failing_since: datetime | None = None
    disabled_at: datetime | None = None


class Receivers:
    """The receivers that fail, at `receivers/<client>/<hash of the origin>`; one that answers has no object.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, objects: Objects, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `of` may answer without asking the store."""
        self._objects = objects
        self._recent = Recent[Receiver](remembered)

    def of(self, client: str, origin: str) -> Receiver:
        """This receiver, as it was seen last."""
        key = _key(client, origin)

        def read() -> Receiver:
            try:
                return _read(self._objects.get(key))
            except NotStored:
                return Receiver(client, origin)

        return self._recent.get(key, read)

    def failing(self, client: str) -> Iterator[Receiver]:
        """The client's receivers that fail."""
        return self._under(f"receivers/{client}/")

    def all_failing(self) -> Iterator[Receiver]:
        """The receivers of every client that fail."""
        return self._under("receivers/")

    def _under(self, prefix: str) -> Iterator[Receiver]:
        for key in self._objects.keys(prefix):
            with suppress(NotStored):  # It has just answered.
                yield _read(self._objects.get(key))

    def answered(self, receiver: Receiver) -> None:
        """It took a callback: nothing is wrong with it."""
        if receiver.failing_since:
            key = _key(receiver.client, receiver.origin)
            self._objects.delete(key)
            self._recent.put(key, Receiver(receiver.client, receiver.origin))

    def failed(self, receiver: Receiver, now: datetime, gone: bool) -> Receiver:
        """It failed once more; it is disabled if it is gone (410), or has failed for PATIENCE."""
        since = receiver.failing_since or now
        disabled = now if gone or now - since >= PATIENCE else receiver.disabled_at
        after = Receiver(receiver.client, receiver.origin, since, disabled)
        if after != receiver:
            values = asdict(after) | {
                "failing_since": moment_text(since),
                "disabled_at": moment_text(disabled) if disabled else None,
            }
            key = _key(receiver.client, receiver.origin)
            self._objects.put(key, json.dumps(values).encode())
            self._recent.put(key, after)
        return after


def _read(record: bytes) -> Receiver:
    values = json.loads(record)
    for name in ("failing_since", "disabled_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return Receiver(**values)


def _key(client: str, origin: str) -> str:
    return f"receivers/{client}/{hashlib.sha256(origin.encode()).hexdigest()[:32]}"
