"""What the inference workers serve, for `GET /v1/model`: each writes it to the object store as it starts."""

import json
from collections.abc import Mapping
from typing import Any

from jobs.store.objects import Objects

_PLACE = "model"


def publish(objects: Objects, served: Mapping[str, Any]) -> None:
    """Write what a worker serves in place of what was there. Raises StoreUnavailable."""
    objects.put(_PLACE, json.dumps(served).encode(), "application/json")


def served_model(objects: Objects) -> dict[str, Any]:
    """Read what was published last. Raises NotStored before any worker has started, and StoreUnavailable."""
    served: dict[str, Any] = json.loads(objects.get(_PLACE))
    return served
