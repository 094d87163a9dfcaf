"""Records which receivers of callbacks fail, and since when. One that fails for days is disabled."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.record.errors import QueueUnavailable
from jobs.record.job import moment_text
from jobs.redis.client import translated
from jobs.store.recent import Recent
from jobs.store.records import Records

PATIENCE = timedelta(days=5)
"""Time after which a receiver that has only failed is disabled."""
REMEMBERED_FAILURE = timedelta(hours=36)
"""Time after which a failure says nothing of the next one. A callback is repeated after 29 hours at most."""


@dataclass(frozen=True)
class ReceiverRecord:
    """A receiver of a client (scheme, host and port), and since when it fails, if it does."""

    client: str
    origin: str
    failing_since: datetime | None = None
    disabled_at: datetime | None = None


class Receivers:
    """The receivers that fail, at `receivers/<client>/<hash of the origin>`. One that answers has no record.

    `failed:<client> <origin>` in Redis is there after a failure, until the next success or for
    REMEMBERED_FAILURE: a failure without it is the first one again.
    Every method may raise StoreUnavailable.
    """

    def __init__(self, records: Records, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `of` returns what it has read before."""
        self._records = records
        self._redis = records.redis
        self._recent = Recent[ReceiverRecord](remembered)

    def of(self, client: str, origin: str) -> ReceiverRecord:
        """Return this receiver as it was recorded last."""
        key = _key(client, origin)
        well = ReceiverRecord(client, origin)
        return self._recent.get(key, lambda: _read(self._records.read(key), well))

    def failing(self, client: str) -> Iterator[ReceiverRecord]:
        """Return the client's receivers that fail."""
        return self._under(f"receivers/{client}/")

    def all_failing(self) -> Iterator[ReceiverRecord]:
        """Return the receivers of all clients that fail."""
        return self._under("receivers/")

    def _under(self, prefix: str) -> Iterator[ReceiverRecord]:
        for _, record in self._records.all(prefix):
            yield ReceiverRecord(**_values(record))

    def answered(self, receiver: ReceiverRecord) -> None:
        """Record that this receiver accepted a callback."""
        # Also where `receiver` is well: another process may have recorded a failure a moment ago.
        with suppress(QueueUnavailable), translated(self._redis):
            self._redis.delete(_failure(receiver))
        if receiver.failing_since:
            self._change(receiver, lambda before: ReceiverRecord(before.client, before.origin))

    def failed(self, receiver: ReceiverRecord, now: datetime, gone: bool) -> ReceiverRecord:
        """Record a failure of this receiver. Disable it if `gone` (410), or if it has failed for PATIENCE."""
        again = self._failed_before(receiver)

        def change(before: ReceiverRecord) -> ReceiverRecord:
            if before.disabled_at:
                return before
            since = before.failing_since if before.failing_since and again else now
            disabled = now if gone or now - since >= PATIENCE else None
            return replace(before, failing_since=since, disabled_at=disabled)

        # Most failures change nothing, and the record is not read for them.
        return receiver if change(receiver) == receiver else self._change(receiver, change)

    def _failed_before(self, receiver: ReceiverRecord) -> bool:
        """Note a failure in Redis, and return whether one was noted before, or Redis does not say."""
        with suppress(QueueUnavailable), translated(self._redis):
            before = self._redis.set(_failure(receiver), 1, ex=REMEMBERED_FAILURE, get=True)
            return before is not None
        return True

    def _change(
        self, receiver: ReceiverRecord, change: Callable[[ReceiverRecord], ReceiverRecord]
    ) -> ReceiverRecord:
        key = _key(receiver.client, receiver.origin)
        well = ReceiverRecord(receiver.client, receiver.origin)
        written = self._records.change(key, lambda record: _record(change(_read(record, well))))
        return self._recent.put(key, _read(written, well))


def _read(record: bytes | None, well: ReceiverRecord) -> ReceiverRecord:
    return ReceiverRecord(**_values(record)) if record else well


def _values(record: bytes) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(record)
    for name in ("failing_since", "disabled_at"):
        values[name] = datetime.fromisoformat(values[name]) if values[name] else None
    return values


def _record(receiver: ReceiverRecord) -> bytes | None:
    if receiver.failing_since is None:
        return None
    moments = {
        "failing_since": moment_text(receiver.failing_since),
        "disabled_at": moment_text(receiver.disabled_at) if receiver.disabled_at else None,
    }
    return json.dumps(asdict(receiver) | moments).encode()


def _failure(receiver: ReceiverRecord) -> str:
    return f"failed:{receiver.client} {receiver.origin}"


def _key(client: str, origin: str) -> str:
    return f"receivers/{client}/{hashlib.sha256(origin.encode()).hexdigest()[:32]}"
