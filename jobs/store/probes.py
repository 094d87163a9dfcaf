"""Probes: test events that a client has sent to a receiver of its own, and how each call ended."""

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
        """`seconds`: how long a new one is kept; the purger erases it then."""
        self._records = records
        self._due = DueIndex(records.objects)
        self._kept = timedelta(seconds=seconds)

    def create(self, client: str, callback_url: str) -> str:
        """The id of a new one that is still to be sent."""
        probe_id, at = new_id("probe"), now()
        values = {"id": probe_id, "callback_url": callback_url, "created_at": moment_text(at)}
        # First: none is ever there that is never erased.
        self._due.put(f"{probe_id}.{client}", at + self._kept)
        self._records.create(_place(client, probe_id), json.dumps(values | {"delivery": None}).encode())
        return probe_id

    def read(self, client: str, probe_id: str) -> dict[str, Any]:
        """The probe; `delivery` says how the call ended, None before it. Raises NotStored."""
        record = self._records.read(_place(client, probe_id))
        if record is None:
            raise NotStored(probe_id)
        probe: dict[str, Any] = json.loads(record)
        return probe

    def delivered(self, client: str, probe_id: str, delivery: object) -> None:
        """Record how the call ended; a probe that was erased meanwhile stays erased."""

        def change(record: bytes | None) -> bytes | None:
            return record and json.dumps(json.loads(record) | {"delivery": delivery}).encode()

        self._records.change(_place(client, probe_id), change)


def probe_due(name: str) -> str | None:
    """The place of the probe that an entry of the index of due looks is of; None where it is of another."""
    probe_id, _, client = name.partition(".")
    return _place(client, probe_id) if client and is_id("probe", probe_id) else None


def _place(client: str, probe_id: str) -> str:
    return f"clients/{client}/probes/{probe_id}/"
