"""Probes: test events that a client has sent to a receiver of its own, and what came of them."""

import json
from typing import Any

from jobs.ids import new_id
from jobs.job import moment_text, now
from jobs.objects import Objects


class Probes:
    """The probes, at `clients/<client>/probes/<id>`. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def create(self, client: str, callback_url: str) -> str:
        """The id of a new one that is still to be sent."""
        probe_id = new_id("probe")
        values = {"id": probe_id, "callback_url": callback_url, "created_at": moment_text(now())}
        self.write(client, values | {"delivery": None})
        return probe_id

    def read(self, client: str, probe_id: str) -> dict[str, Any]:
        """The probe; `delivery` is what came of the call, None before it. Raises NotStored."""
        probe: dict[str, Any] = json.loads(self._objects.get(f"clients/{client}/probes/{probe_id}"))
        return probe

    def write(self, client: str, probe: dict[str, Any]) -> None:
        """Store the probe."""
        key = f"clients/{client}/probes/{probe['id']}"
        self._objects.put(key, json.dumps(probe).encode(), "application/json")
