"""Which receivers of callbacks fail, and since when: one that fails for days is not called any more."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.record.job import moment_text
from jobs.store.recent import Recent
from jobs.store.records import Records

PATIENCE = timedelta(days=5)
"""A receiver that has only failed for so long is disabled."""


@dataclass(frozen=True)
class ReceiverRecord:
    """Scheme, host and port that a client's callbacks go to, and what is wrong with it, if anything."""

    client: str
    origin: str
    failing_since: datetime | None = None
    disabled_at: datetime | None = None


class Receivers:
    """The receivers that fail, at `receivers/<client>/<hash of the origin>`; one that answers has no record.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, records: Records, remembered: float = 0.0) -> None:
        """`remembered`: for how many seconds `of` may answer without asking the store."""
        self._records = records
        self._recent = Recent[ReceiverRecord](remembered)

    def of(self, client: str, origin: str) -> ReceiverRecord:
        """This receiver, as it was seen last."""
        place = _place(client, origin)
        well = ReceiverRecord(client, origin)
        return self._recent.get(place, lambda: _read(self._records.read(place), well))

    def failing(self, client: str) -> Iterator[ReceiverRecord]:
        """The client's receivers that fail."""
        return self._under(f"receivers/{client}/")

    def all_failing(self) -> Iterator[ReceiverRecord]:
        """The receivers of every client that fail."""
        return self._under("receivers/")

    def _under(self, prefix: str) -> Iterator[ReceiverRecord]:
        for _, record in self._records.all(prefix):
            yield ReceiverRecord(**_values(record))

    def answered(self, receiver: ReceiverRecord) -> None:
        """It took a callback: nothing is wrong with it."""
        if receiver.failing_since:
            self._change(receiver, lambda before: ReceiverRecord(before.client, before.origin))

    def failed(self, receiver: ReceiverRecord, now: datetime, gone: bool) -> ReceiverRecord:
        """It failed once more; it is disabled if it is gone (410), or has failed for PATIENCE."""

        def change(before: ReceiverRecord) -> ReceiverRecord:
            since = before.failing_since or now
            disabled = before.disabled_at or (now if gone or now - since >= PATIENCE else None)
            return replace(before, failing_since=since, disabled_at=disabled)

        # Most failures change nothing: the record is not read for them.
        return receiver if change(receiver) == receiver else self._change(receiver, change)

    def _change(
        self, receiver: ReceiverRecord, change: Callable[[ReceiverRecord], ReceiverRecord]
    ) -> ReceiverRecord:
        place, well = (
            _place(receiver.client, receiver.origin),
            ReceiverRecord(receiver.client, receiver.origin),
        )
        stands = self._records.change(place, lambda record: _record(change(_read(record, well))))
        return self._recent.put(place, _read(stands, well))


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


def _place(client: str, origin: str) -> str:
    return f"receivers/{client}/{hashlib.sha256(origin.encode()).hexdigest()[:32]}"
