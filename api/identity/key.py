"""An API key as it is known: whose it is, what it may, until when, and how it is stored."""

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime

from api.identity.scopes import Scope
from jobs.record.job import moment_text


@dataclass(frozen=True)
class Key:
    """What is known of a key; `id` is the beginning of its hash, and tells operators which one it is."""

    id: str
    client: str
    scopes: frozenset[Scope]
    created_at: datetime
    ends_at: datetime | None = None
    made_by: str | None = None
    """The id of the key that asked for it; None where an operator did."""

    def ended(self, at: datetime) -> bool:
        """Whether it is no longer a key."""
        return self.ends_at is not None and self.ends_at <= at

    def ending(self, at: datetime) -> "Key":
        """The key with its end at this time, unless it has ended before, or is to."""
        return replace(self, ends_at=min(at, self.ends_at or at))


def id_of(key: str) -> str:
    """What operators call this key."""
    return digest_of(key)[:16]


def told(key: Key) -> dict[str, object]:
    """A key as JSON."""
    moments = {
        "created_at": moment_text(key.created_at),
        "ends_at": moment_text(key.ends_at) if key.ends_at else None,
    }
    return asdict(key) | {"scopes": sorted(key.scopes)} | moments


def read(place: str, record: bytes) -> Key:
    """The key whose record at this place this is."""
    raw = json.loads(record)
    ends_at = raw.get("ends_at")
    return Key(
        id=place.removeprefix("keys/")[:16],
        client=raw["client"],
        # Keys of before there were scopes have all of them.
        scopes=frozenset(map(Scope, raw.get("scopes", Scope))),
        created_at=datetime.fromisoformat(raw["created_at"]),
        ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        made_by=raw.get("made_by"),
    )


def record_of(key: Key) -> bytes:
    """A key as it is stored."""
    return json.dumps(told(key)).encode()


def place_of(digest: str) -> str:
    """Where the key of this hash lies, or of a hash that begins so."""
    return f"keys/{digest}"


def digest_of(key: str) -> str:
    """The hash that a key is stored under."""
    # A key has 256 random bits, so a plain hash cannot be reversed by guessing. It is looked up by its hash:
    # how long that takes tells nothing of the key.
    return hashlib.sha256(key.encode()).hexdigest()
