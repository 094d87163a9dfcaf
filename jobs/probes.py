"""Probes: test events that a client has sent to a receiver of its own, and how each call ended."""

import json
from typing import Any

from jobs.errors import NotStored
from jobs.ids import new_id
from jobs.job import moment_text, now
from jobs.records import Records


class Probes:
    """The probes, at `clients/<client>/probes/<id>/`. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def create(self, client: str, callback_url: str) -> str:
        """The id of a new one that is still to be sent."""
        probe_id = new_id("probe")
        values = {"id": probe_id, "callback_url": callback_url, "created_at": moment_text(now())}
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


def _place(client: str, probe_id: str) -> str:
    return f"clients/{client}/probes/{probe_id}/"
