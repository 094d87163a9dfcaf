"""Keeps probes: test events to a client's own receiver, and the outcome of each call."""

import json
from datetime import timedelta
from typing import Any

from jobs.record.errors import NotStored
from jobs.record.ids import is_id, new_id
from jobs.record.job import moment_text, now
from jobs.store.due_index import DueIndex
from jobs.store.records import Records

_WEEK = 7 * 86_400


class Probes:
    """The probes, at `clients/<client>/probes/<id>/`. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records, seconds: int = _WEEK) -> None:
        """`seconds`: how long a new probe is kept, until the purger erases it."""
        self._records = records
        self._due = DueIndex(records.objects)
        self._kept = timedelta(seconds=seconds)

    def create(self, client: str, callback_url: str) -> str:
        """Create a probe that is still to be sent, and return its id."""
        probe_id, at = new_id("probe"), now()
        values = {"id": probe_id, "callback_url": callback_url, "created_at": moment_text(at)}
        # First, so that every probe is erased.
        self._due.put(f"{probe_id}.{client}", at + self._kept)
        self._records.create(_key(client, probe_id), json.dumps(values | {"delivery": None}).encode())
        return probe_id

    def read(self, client: str, probe_id: str) -> dict[str, Any]:
        """Return the probe. Its `delivery` is the outcome of the call, None before it. Raises NotStored."""
        record = self._records.read(_key(client, probe_id))
        if record is None:
            raise NotStored(probe_id)
        probe: dict[str, Any] = json.loads(record)
        return probe

    def delivered(self, client: str, probe_id: str, delivery: object) -> None:
        """Record the outcome of the call. A probe that was erased meanwhile stays erased."""

        def change(record: bytes | None) -> bytes | None:
            return record and json.dumps(json.loads(record) | {"delivery": delivery}).encode()

        self._records.change(_key(client, probe_id), change)


def probe_due(name: str) -> str | None:
    """Return the key of the probe that an entry of the due index names; None where it names none."""
    probe_id, _, client = name.partition(".")
    return _key(client, probe_id) if client and is_id("probe", probe_id) else None


def _key(client: str, probe_id: str) -> str:
    return f"clients/{client}/probes/{probe_id}/"
