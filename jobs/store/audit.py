"""Who did what: noted in Redis at once, and carried over into the object store by the sweeper, to stay.

An entry names a client, a key, a request and a job, and never holds what a client sent. Entries
lie in batches, at `audit/<day>/<first>-<last>`, a JSON object a line: the day of the latest of
them, the ids of the first and the last. A batch is written once and never changed; what two
batches have in common bears the same ids.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from redis import Redis
from ulid import ULID

from jobs.record.errors import Conflict, NotStored, QueueUnavailable, StoreRefused, StoreUnavailable
from jobs.record.job import moment_text, now
from jobs.redis.client import translated
from jobs.store.objects import Objects

log = logging.getLogger(__name__)

STREAM = "audit"
BATCH = 1000


@dataclass(frozen=True)
class AuditEntry:
    """Which client and key (an id; None for an operator) did what, to what, with which HTTP status,
    in which trace and by which request."""

    client: str
    action: str
    key: str | None = None
    subject: str | None = None
    status: int | None = None
    trace: str | None = None
    request: str | None = None
    at: str = field(default_factory=lambda: moment_text(now()))
    id: str = field(default_factory=lambda: str(ULID()))


class Audit:
    """The audit log. Nothing in it is ever lost with a process; see docs/decisions/0012-an-audit-log.md."""

    def __init__(self, objects: Objects, redis: Redis) -> None:
        self._objects = objects
        self._redis = redis

    def note(self, entry: AuditEntry) -> None:
        """Note an act: in Redis, or in the object store where Redis does not answer; never raises."""
        try:
            with translated(self._redis):
                self._redis.xadd(STREAM, {"entry": json.dumps(asdict(entry))})
        except QueueUnavailable:
            self._or_log(entry)

    def keep(self, entry: AuditEntry) -> None:
        """Note an act in the object store itself, or in Redis where it does not answer; never raises."""
        try:
            self._write([json.dumps(asdict(entry))])
        except (StoreUnavailable, StoreRefused):
            self.note(entry)

    def carry_over(self) -> None:
        """Move what is noted in Redis into the object store. Raises TransientError; nothing is lost then."""
        while True:
            with translated(self._redis):
                noted: Any = self._redis.xrange(STREAM, count=BATCH)
            if not noted:
                return
            self._write([fields[b"entry"].decode() for _, fields in noted])
            with translated(self._redis):
                self._redis.xdel(STREAM, *(number for number, _ in noted))

    def entries(self, since: datetime) -> Iterator[dict[str, Any]]:
        """What was done since then, oldest first within a batch. Raises StoreUnavailable."""
        seen: set[str] = set()
        for name in self._objects.keys("audit/", after=f"audit/{moment_text(since)[:10]}"):
            with suppress(NotStored):
                for line in self._objects.get(name).splitlines():
                    entry = json.loads(line)
                    if entry["id"] not in seen and entry["at"] >= moment_text(since):
                        seen.add(entry["id"])
                        yield entry

    def _or_log(self, entry: AuditEntry) -> None:
        try:
            self._write([json.dumps(asdict(entry))])
        except (StoreUnavailable, StoreRefused):
            log.error("no store takes this entry of the audit log", extra={"entry": asdict(entry)})

    def _write(self, lines: Sequence[str]) -> None:
        entries = [json.loads(line) for line in lines]
        day = max(entry["at"] for entry in entries)[:10]
        name = f"audit/{day}/{entries[0]['id']}-{entries[-1]['id']}"
        with suppress(Conflict):  # This very batch was carried over already.
            self._objects.put_new(name, "\n".join(lines).encode())
