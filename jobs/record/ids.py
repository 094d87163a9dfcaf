"""Makes and checks ids: a kind (`job`, `study`, `upload`, `probe`), `_` and a ULID. They sort by time."""

import hashlib
from datetime import UTC, datetime, timedelta

from ulid import ULID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(kind: str) -> str:
    """Return a new id of this kind."""
    return f"{kind}_{ULID()}"


def is_id(kind: str, text: str) -> bool:
    """Return whether `text` has the form of an id of this kind. Other text must not reach a storage key."""
    begin, _, ulid = text.partition("_")
    try:
        return begin == kind and str(ULID.from_str(ulid)) == ulid
    except ValueError:
        return False


def made_at(id_: str) -> datetime:
    """Return when an id was made, as the id says."""
    return ULID.from_str(id_.partition("_")[2]).datetime


def first_id(kind: str, at: datetime) -> str:
    """Return the lowest id of this kind that can be made at this time or later."""
    milliseconds = max(0, -((_EPOCH - at) // timedelta(milliseconds=1)))
    return f"{kind}_{ULID(milliseconds.to_bytes(6, 'big') + bytes(10))}"


def digest_of(text: str) -> str:
    """Return the SHA-256 of an id that another system has made, or of a key, under which it is found."""
    # A key of ours has 256 random bits, so that guessing reverses no plain hash. The lookup is by hash, so
    # that its duration tells nothing of the key.
    return hashlib.sha256(text.encode()).hexdigest()
