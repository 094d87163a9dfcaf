"""Ids: a kind (`job`, `study`, `upload`, `probe`), `_` and a ULID: they sort by the time they were made."""

from datetime import UTC, datetime, timedelta

from ulid import ULID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def new_id(kind: str) -> str:
    """A fresh id of this kind."""
    return f"{kind}_{ULID()}"


def is_id(kind: str, text: str) -> bool:
    """Whether `text` has the form of an id of this kind; anything else never reaches a storage key."""
    begin, _, ulid = text.partition("_")
    try:
        return begin == kind and str(ULID.from_str(ulid)) == ulid
    except ValueError:
        return False


def made_at(id_: str) -> datetime:
    """When an id was made, read from the id itself."""
    return ULID.from_str(id_.partition("_")[2]).datetime


def first_id(kind: str, at: datetime) -> str:
    """The least id that one of this kind made at this time, or later, can have."""
    milliseconds = max(0, -((_EPOCH - at) // timedelta(milliseconds=1)))
    return f"{kind}_{ULID(milliseconds.to_bytes(6, 'big') + bytes(10))}"
