"""Reads an API key from the answers of the routes about keys."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

Scope = Literal["submit", "read", "admin"]


@dataclass(frozen=True)
class ApiKey:
    """What is known of a key, which the service does not show a second time."""

    id: str
    scopes: tuple[Scope, ...]
    created_at: datetime
    ends_at: datetime | None
    """From then on it is no key."""
    last_used_at: datetime | None
    """To the hour."""
    document: dict[str, Any] = field(repr=False)
    """The service's whole document."""

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        ends_at, last_used_at = document["ends_at"], document["last_used_at"]
        return cls(
            id=document["id"],
            scopes=tuple(document["scopes"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
            last_used_at=datetime.fromisoformat(last_used_at) if last_used_at else None,
            document=document,
        )


@dataclass(frozen=True)
class NewKey:
    """A key that was made just now: keep `api_key`, which is shown this once."""

    id: str
    scopes: tuple[Scope, ...]
    api_key: str = field(repr=False)
    document: dict[str, Any] = field(repr=False)
    """The service's whole document."""

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        return cls(document["id"], tuple(document["scopes"]), document["api_key"], document)
