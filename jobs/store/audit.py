"""Keeps the audit log. Entries are recorded in Redis, and the sweeper moves them to the object store.

An entry names a client, a key or a reader, a request and a job, and has nothing that a client sent. The
object store has entries in batches, at `audit/<day>/<first>-<last>`: the day of the latest entry, and the ids
of the first and the last. A batch has a JSON object a line, is written once and never changed. An entry that
is in two batches has the same id in both.
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
    """One act: client, action and subject, HTTP status, trace and request.

    `key` and `reader` are ids, both None for an operator. `method` is how a person signed in, key or oidc.
    `client` is "" for an act of a reader of no client that concerns no client's job.
    """

    client: str
    action: str
    key: str | None = None
    subject: str | None = None
    status: int | None = None
    trace: str | None = None
    request: str | None = None
    reader: str | None = None
    method: str | None = None
    at: str = field(default_factory=lambda: moment_text(now()))
    id: str = field(default_factory=lambda: str(ULID()))


class Audit:
    """The audit log. No entry is lost with a process; see docs/decisions/0012-an-audit-log.md."""

    def __init__(self, objects: Objects, redis: Redis) -> None:
        self._objects = objects
        self._redis = redis

    def record(self, entry: AuditEntry) -> None:
        """Record an act in Redis, or in the object store where Redis does not answer. Never raises."""
        try:
            with translated(self._redis):
                self._redis.xadd(STREAM, {"entry": json.dumps(asdict(entry))})
        except QueueUnavailable:
            self._or_log(entry)

    def record_durably(self, entry: AuditEntry) -> None:
        """Record an act in the object store, or in Redis where the store does not answer. Never raises."""
        try:
            self._write([json.dumps(asdict(entry))])
        except (StoreUnavailable, StoreRefused):
            self.record(entry)

    def carry_over(self) -> None:
        """Move the entries in Redis to the object store. Raises TransientError; nothing is lost then."""
        while True:
            with translated(self._redis):
                found: Any = self._redis.xrange(STREAM, count=BATCH)
            if not found:
                return
            self._write([fields[b"entry"].decode() for _, fields in found])
            with translated(self._redis):
                self._redis.xdel(STREAM, *(number for number, _ in found))

    def waiting(self) -> Iterator[dict[str, Any]]:
        """Return the acts that are not in the object store yet, oldest first. Raises QueueUnavailable."""
        with translated(self._redis):
            found: Any = self._redis.xrange(STREAM)
        return (json.loads(fields[b"entry"]) for _, fields in found)

    def entries(self, since: datetime) -> Iterator[dict[str, Any]]:
        """Return the acts since then, oldest first within a batch. Raises StoreUnavailable."""
        seen: set[str] = set()
        for name in self._objects.keys("audit/", after=f"audit/{moment_text(since)[:10]}/"):
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
        with suppress(Conflict):  # The same batch was written before.
            self._objects.put_new(name, "\n".join(lines).encode())
