"""Keeps what the inference workers serve, for `GET /v1/model`. Each worker writes it as it starts."""

import json
from collections.abc import Mapping
from typing import Any

from jobs.store.objects import Objects

_KEY = "model"


def publish(objects: Objects, served: Mapping[str, Any]) -> None:
    """Write what a worker serves, in place of what was written before. Raises StoreUnavailable."""
    objects.put(_KEY, json.dumps(served).encode(), "application/json")


def served_model(objects: Objects) -> dict[str, Any]:
    """Return what was published last. Raises NotStored before any worker has started."""
    served: dict[str, Any] = json.loads(objects.get(_KEY))
    return served
