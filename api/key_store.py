"""API keys, of which the object store keeps hashes only: whose they are, what they may, and until when."""

import hashlib
import json
import logging
import re
import secrets
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from api.scope import Scope
from jobs.errors import NotStored, StoreUnavailable
from jobs.job import moment_text, now
from jobs.objects import Objects
from jobs.recent import Recent

log = logging.getLogger(__name__)

FORM = re.compile(r"osteo_[A-Za-z0-9_-]{43}")
CLIENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ID = re.compile(r"[0-9a-f]{16}")
USE_GRAIN = timedelta(hours=1)
"""A key's last use is written down at most so often."""


@dataclass(frozen=True)
class Key:
    """What is known of a key; `id` is the beginning of its hash, and tells operators which one it is."""

    id: str
    client: str
    scopes: frozenset[Scope]
    created_at: datetime
    ends_at: datetime | None = None

    def ended(self, at: datetime) -> bool:
        """Whether it is no longer a key."""
        return self.ends_at is not None and self.ends_at <= at


class Keys:
    """The keys, at `keys/<sha256>`, and their last uses, at `keys-used/<client>/<sha256>`, empty until then.

    One that was read is trusted for `trust_seconds`: for so long a process that has just seen it may take it
    after its revocation. Every method may raise StoreUnavailable.
    """

    def __init__(self, objects: Objects, trust_seconds: float = 30.0) -> None:
        self._objects = objects
        self._trusted = Recent[Key](trust_seconds)
        self._used: dict[str, datetime] = {}

    def create(self, client: str, scopes: Collection[Scope] = tuple(Scope)) -> str:
        """A new key for `client`, stored hashed; this is the only time that it is seen. Raises ValueError."""
        if not CLIENT.fullmatch(client):
            raise ValueError("a client's name has 1 to 63 lower-case letters, digits and hyphens")
        key = f"osteo_{secrets.token_urlsafe(32)}"
        digest = _digest(key)
        # First: no key is left out of its client's list, and a name without a key is passed over there.
        self._objects.put(_use_of(client, digest), b"")
        self._write(digest, Key(id_of(key), client, frozenset(scopes), now()))
        return key

    def holder_of(self, key: str) -> Key | None:
        """What is known of `key`; None for a wrong or ended one."""
        if not FORM.fullmatch(key):
            return None
        digest = _digest(key)
        try:
            known = self._trusted.get(digest, lambda: self._read(digest))
        except NotStored:
            return None
        if known.ended(now()):
            return None
        self._note_use(digest, known)
        return known

    def all(self) -> Iterator[tuple[Key, datetime | None]]:
        """Every key, ended ones too, and when it was last used, to the hour."""
        for name in self._objects.keys("keys/"):
            with suppress(NotStored):
                digest = name.removeprefix("keys/")
                known = self._read(digest)
                yield known, self._last_use(known.client, digest)

    def of_client(self, client: str) -> Iterator[tuple[Key, datetime | None]]:
        """As `all`, of one client, without a look at others'; a key of 0.1.0 is there once it was used."""
        for name in self._objects.keys(_use_of(client, "")):
            with suppress(NotStored):
                digest = name.rpartition("/")[2]
                yield self._read(digest), self._last_use(client, digest)

    def one(self, client: str, key_id: str) -> Key:
        """The key of this id, ended or not. Raises LookupError where it is not this client's."""
        _, known = self._by_id(key_id)
        if known.client != client:
            raise LookupError(f"{client} has no key {key_id}")
        return known

    def rotate(self, key_id: str, overlap: timedelta) -> tuple[str, Key]:
        """A new key with the rights of the one of this id, which ends after `overlap`. Raises LookupError."""
        digest, known = self._by_id(key_id)
        if known.ended(now()):
            raise LookupError(f"the key {key_id} has ended; create a new one")
        key = self.create(known.client, known.scopes)
        return key, self._end(digest, known, now() + overlap)

    def revoke(self, key_id: str) -> Key:
        """End the key of this id now. Raises LookupError."""
        return self._end(*self._by_id(key_id), now())

    def _end(self, digest: str, known: Key, at: datetime) -> Key:
        ended = replace(known, ends_at=min(at, known.ends_at or at))
        self._write(digest, ended)
        return ended

    def _by_id(self, key_id: str) -> tuple[str, Key]:
        names = list(self._objects.keys(f"keys/{key_id}")) if ID.fullmatch(key_id) else []
        if len(names) != 1:
            raise LookupError(f"there is no key {key_id}; `list` shows them all")
        digest = names[0].removeprefix("keys/")
        return digest, self._read(digest)

    def _note_use(self, digest: str, key: Key) -> None:
        at = now()
        if at - self._used.get(key.id, datetime.min.replace(tzinfo=at.tzinfo)) < USE_GRAIN:
            return
        self._used[key.id] = at  # first: of many requests at once, one writes
        try:
            last = self._last_use(key.client, digest)
            if last is None or at - last >= USE_GRAIN:
                self._objects.put(_use_of(key.client, digest), moment_text(at).encode())
            else:
                self._used[key.id] = last
        except StoreUnavailable as error:
            log.warning("the use of a key was not written down: %s", error, extra={"client": key.client})

    def _last_use(self, client: str, digest: str) -> datetime | None:
        try:
            text = self._objects.get(_use_of(client, digest)).decode()
        except NotStored:
            return None
        return datetime.fromisoformat(text) if text else None

    def _read(self, digest: str) -> Key:
        raw = json.loads(self._objects.get(f"keys/{digest}"))
        ends_at = raw.get("ends_at")
        return Key(
            id=digest[:16],
            client=raw["client"],
            # Keys of before there were scopes have all of them.
            scopes=frozenset(map(Scope, raw.get("scopes", Scope))),
            created_at=datetime.fromisoformat(raw["created_at"]),
            ends_at=datetime.fromisoformat(ends_at) if ends_at else None,
        )

    def _write(self, digest: str, key: Key) -> None:
        self._objects.put(f"keys/{digest}", json.dumps(told(key)).encode(), "application/json")


def id_of(key: str) -> str:
    """What operators call this key."""
    return _digest(key)[:16]


def told(key: Key) -> dict[str, object]:
    """A key as JSON."""
    moments = {
        "created_at": moment_text(key.created_at),
        "ends_at": moment_text(key.ends_at) if key.ends_at else None,
    }
    return asdict(key) | {"scopes": sorted(key.scopes)} | moments


def _use_of(client: str, digest: str) -> str:
    return f"keys-used/{client}/{digest}"


def _digest(key: str) -> str:
    # A key has 256 random bits, so a plain hash cannot be reversed by guessing. It is looked up by its hash:
    # how long that takes tells nothing of the key.
    return hashlib.sha256(key.encode()).hexdigest()
