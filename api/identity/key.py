"""Describes an API key: its client, its scopes, its end, and the form in which it is stored."""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from api.identity.scopes import Scope
from jobs.record.ids import digest_of
from jobs.record.job import moment_text


@dataclass(frozen=True)
class Key:
    """An API key without its secret. `id` is the beginning of its hash, by which operators name it."""

    id: str
    client: str
    scopes: frozenset[Scope]
    created_at: datetime
    ends_at: datetime | None = None
    made_by: str | None = None
    """The id of the key that created it; None for a key that the operator created."""

    def ended(self, at: datetime) -> bool:
        """Return whether the key has ended."""
        return self.ends_at is not None and self.ends_at <= at

    def ending(self, at: datetime) -> "Key":
        """Return the key with its end at this time, or at its own end where that is earlier."""
        return replace(self, ends_at=min(at, self.ends_at or at))


def id_of(key: str) -> str:
    """Return the id of a key."""
    return digest_of(key)[:16]


def key_document(key: Key) -> dict[str, object]:
    """Return a key as the members of a JSON object."""
    moments = {
        "created_at": moment_text(key.created_at),
        "ends_at": moment_text(key.ends_at) if key.ends_at else None,
    }
    return asdict(key) | {"scopes": sorted(key.scopes)} | moments


def read_key(object_key: str, record: bytes) -> Key:
    """Read a key from its record, which is stored at `object_key`."""
    raw = json.loads(record)
    ends_at = raw.get("ends_at")
    return Key(
        id=object_key.removeprefix("keys/")[:16],
        client=raw["client"],
        # A key that was stored before there were scopes has all of them.
        scopes=frozenset(map(Scope, raw.get("scopes", Scope))),
        created_at=datetime.fromisoformat(raw["created_at"]),
        ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        made_by=raw.get("made_by"),
    )


def record_of(key: Key) -> bytes:
    """Return a key as it is stored."""
    return json.dumps(key_document(key)).encode()


def object_key_of(digest: str) -> str:
    """Return the object key of the API key with this hash, or the prefix for a beginning of a hash."""
    return f"keys/{digest}"
