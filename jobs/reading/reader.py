"""Describes a reader: a person who signs readings, and the form in which readers are stored."""

import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from jobs.record.ids import digest_of, new_id
from jobs.record.job import moment_text
from jobs.record.record_json import record_to_json, values_from_json

KEY_FORM = re.compile(r"osteo_reader_[A-Za-z0-9_-]{43}")
GROUP = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""The form of a group's name, and of a client's."""
SESSION_LIFETIME = timedelta(hours=8)
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[!-?A-~]{1,190}")
"""In ASCII: many mail servers take no other address (SMTPUTF8)."""
_MOMENTS = ("created_at", "disabled_at", "sessions_from")


@dataclass(frozen=True)
class Reader:
    """A person who reads what is asked of `groups`.

    `client`: the client whose jobs this reader may open and submit besides. `name` stands in reports.
    """

    id: str
    name: str
    groups: frozenset[str]
    client: str | None
    email: str | None
    created_at: datetime
    key_digest: str = field(repr=False)
    """The SHA-256 of the reader's key."""
    disabled_at: datetime | None = None
    sessions_from: datetime | None = None
    """Sessions that began before it are void: it is the time of the last change of the key."""
    ended_sessions: tuple[tuple[str, datetime], ...] = ()
    """The ids of sessions that were signed out of, each with the time at which it expires anyway."""
    oidc_subject: str | None = None
    """The person at the OpenID Connect provider who may sign in as this reader: issuer, space and `sub`."""
    totp_generation: int = 0
    """How often the secret of the one-time codes was replaced."""
    totp_step: int = 0
    """The time step of the last code that was taken, so that no code counts twice."""
    totp_failures: tuple[datetime, ...] = ()
    """When the last wrong codes were given."""
    later: dict[str, Any] = field(default_factory=dict)
    """Fields of a later version of this program. They are kept: both versions may run side by side."""
    quiet: str | None = None
    """Hours in which the reader is told of urgent readings alone, as jobs.reading.quiet_hours reads them."""

    def accepts(self, session_id: str, began_at: datetime) -> bool:
        """Return whether a session of this reader, with this id, is valid."""
        if self.disabled_at or (self.sessions_from and began_at < self.sessions_from):
            return False
        return all(session_id != ended for ended, _ in self.ended_sessions)

    def without_session(self, session_id: str, at: datetime) -> "Reader":
        """Return the reader with this session ended; ended sessions that have expired are dropped."""
        kept = [(ended, until) for ended, until in self.ended_sessions if until > at]
        if all(ended != session_id for ended, _ in kept):
            kept.append((session_id, at + SESSION_LIFETIME))
        return replace(self, ended_sessions=tuple(kept))

    def reads_for(self, groups: frozenset[str]) -> bool:
        """Return whether the reader is in one of these groups."""
        return not self.groups.isdisjoint(groups)


def new_reader(
    name: str, groups: frozenset[str], client: str | None, email: str | None, at: datetime
) -> tuple[str, Reader]:
    """Return a new key and its reader. Raises ValueError for a malformed name, group, client or address."""
    if not _NAME.fullmatch(name.strip()):
        raise ValueError("a reader's name has 1 to 100 characters")
    for group in groups:
        if not GROUP.fullmatch(group):
            raise ValueError(f"a group's name has 1 to 63 lower-case letters, digits and hyphens: {group!r}")
    if client is not None and not GROUP.fullmatch(client):
        raise ValueError("a client's name has 1 to 63 lower-case letters, digits and hyphens")
    if email is not None and not _EMAIL.fullmatch(email):
        raise ValueError(f"{email!r} is no e-mail address in ASCII")
    key = new_key()
    return key, Reader(new_id("reader"), name.strip(), groups, client, email, at, digest_of(key))


def new_key() -> str:
    """Return a new reader key, of 256 random bits."""
    return f"osteo_reader_{secrets.token_urlsafe(32)}"


def reader_document(reader: Reader) -> dict[str, Any]:
    """Return what an operator is shown of a reader."""
    return {
        "id": reader.id,
        "name": reader.name,
        "groups": sorted(reader.groups),
        "client": reader.client,
        "email": reader.email,
        "oidc_subject": reader.oidc_subject,
        "quiet": reader.quiet,
        "key_id": reader.key_digest[:16],
        "created_at": moment_text(reader.created_at),
        "disabled_at": moment_text(reader.disabled_at) if reader.disabled_at else None,
    }


def record_of(reader: Reader) -> bytes:
    """Return a reader as it is stored."""
    return record_to_json(reader, _plain)


def read_reader(record: bytes) -> Reader:
    """Read a reader that `record_of` wrote, in this version of the program or in another one."""
    values = values_from_json(Reader, record, _MOMENTS)
    ended = ((session, datetime.fromisoformat(until)) for session, until in values["ended_sessions"])
    values["groups"] = frozenset(values["groups"])
    values["ended_sessions"] = tuple(ended)
    values["totp_failures"] = tuple(map(datetime.fromisoformat, values["totp_failures"]))
    return Reader(**values)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return moment_text(value)
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"not JSON: {type(value).__name__}")
