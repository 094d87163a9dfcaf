"""Stores API keys by their hashes in the object store: client, scopes, end and last use of each."""

import logging
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from api.identity.key import Key, id_of, object_key_of, read_key, record_of
from api.identity.scopes import Scope
from jobs.record.errors import NotStored, StoreUnavailable
from jobs.record.ids import digest_of
from jobs.record.job import moment_text, now
from jobs.store.recent import Recent
from jobs.store.records import Records

log = logging.getLogger(__name__)

FORM = re.compile(r"osteo_[A-Za-z0-9_-]{43}")
CLIENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ID = re.compile(r"[0-9a-f]{16}")
USE_GRAIN = timedelta(hours=1)
"""A key's last use is written at most once in this time."""
OVERLAP_HOURS, LONGEST_OVERLAP_HOURS = 24, 168
"""How long a replaced key stays valid, unless a request says otherwise, and at most."""
_SKEW = timedelta(minutes=1)
"""A key that ends within it creates no other: a process whose clock is ahead may have revoked it."""


class MakerEnded(LookupError):
    """The key that is to create another key has ended."""


class Keys:
    """The keys, at `keys/<sha256>`, and their last uses, at `keys-used/<client>/<sha256>`, empty until then.

    A process trusts a key that it has read for `trust_seconds`, even if the key is revoked meanwhile. Every
    method may raise StoreUnavailable.
    """

    def __init__(self, records: Records, trust_seconds: float = 30.0) -> None:
        self._records = records
        self._objects = records.objects
        # By digest where a request has sent the key, and by id where it has not.
        self._trusted = Recent[Key](trust_seconds)
        self._used: dict[str, datetime] = {}

    def create(
        self, client: str, scopes: Collection[Scope] = tuple(Scope), made_by: str | None = None
    ) -> str:
        """Create a key for `client`, store its hash, and return the key itself, this once.

        Raises ValueError for a malformed name of a client, MakerEnded where the key `made_by` has ended.
        """
        if not CLIENT.fullmatch(client):
            raise ValueError("a client's name has 1 to 63 lower-case letters, digits and hyphens")
        key = f"osteo_{secrets.token_urlsafe(32)}"
        digest = digest_of(key)
        # Written first, so that the list of the client misses no key. The list skips a name without a key.
        self._objects.put(_use_of(client, digest), b"")
        made = Key(id_of(key), client, frozenset(scopes), now(), made_by=made_by)
        self._records.create(object_key_of(digest), record_of(made))
        # Checked after the write: a revocation with `and_made` has listed the new key, or is seen here.
        if made_by and self._by_id(made_by)[1].ended(now() + _SKEW):
            self._forget(digest, client)
            raise MakerEnded(f"the key {made_by} has ended")
        return key

    def holder_of(self, key: str) -> Key | None:
        """Look `key` up; None for a wrong or ended key."""
        if not FORM.fullmatch(key):
            return None
        digest = digest_of(key)
        try:
            known = self._trusted.get(digest, lambda: self._of(digest))
        except NotStored:
            return None
        if known.ended(now()):
            return None
        self._write_use(digest, known)
        return known

    def valid(self, key_id: str) -> Key | None:
        """Return the key of this id, or None where it has ended.

        For a request that acts for a key without sending it.
        """
        try:
            known = self._trusted.get(key_id, lambda: self._by_id(key_id)[1])
        except LookupError:
            return None
        return None if known.ended(now()) else known

    def all(self) -> Iterator[tuple[Key, datetime | None]]:
        """List every key, ended ones too, and when it was last used, to the hour."""
        for object_key, record in self._records.all("keys/"):
            known = read_key(object_key, record)
            yield known, self._last_use(known.client, object_key.removeprefix("keys/"))

    def of_client(self, client: str) -> Iterator[tuple[Key, datetime | None]]:
        """List the keys of one client, as `all` does. A key of version 0.1.0 is listed once it was used."""
        for name in self._objects.keys(_use_of(client, "")):
            with suppress(NotStored):
                digest = name.rpartition("/")[2]
                yield self._of(digest), self._last_use(client, digest)

    def one(self, client: str, key_id: str) -> Key:
        """Read the key of this id, ended or not. Raises LookupError for another client's key."""
        _, known = self._by_id(key_id)
        if known.client != client:
            raise LookupError(f"{client} has no key {key_id}")
        return known

    def rotate(self, key_id: str, overlap: timedelta, made_by: str | None = None) -> tuple[str, Key]:
        """Create a key with the scopes of the one of this id, which ends after `overlap`.

        Returns the new key, and what is known of the ending one. Raises LookupError for an unknown or ended
        key, MakerEnded as `create` does.
        """
        digest, known = self._by_id(key_id)
        key = self.create(known.client, known.scopes, made_by)

        def change(before: Key) -> Key:
            if before.ended(now()):
                raise LookupError(f"the key {key_id} has ended; create a new one")
            return before.ending(now() + overlap)

        try:
            return key, self._change(digest, change)
        except (LookupError, StoreUnavailable):
            with suppress(StoreUnavailable):
                self._forget(digest_of(key), known.client)
            raise

    def revoke(self, key_id: str, and_made: bool = False) -> list[Key]:
        """End the key of this id now, and with `and_made` every key that it created. Raises LookupError."""
        ended = {key_id: self._end(self._by_id(key_id)[0])}
        while and_made:
            # Repeated until the list shows no other: a key may have been created while its maker was ended.
            client = ended[key_id].client
            made = [key for key, _ in self.of_client(client) if key.made_by in ended and key.id not in ended]
            if not made:
                break
            ended |= {key.id: self._end(self._by_id(key.id)[0]) for key in made}
        return list(ended.values())

    def _end(self, digest: str) -> Key:
        return self._change(digest, lambda before: before.ending(now()))

    def _change(self, digest: str, change: Callable[[Key], Key]) -> Key:
        object_key = object_key_of(digest)

        def changed(record: bytes | None) -> bytes:
            if record is None:
                raise LookupError(f"there is no key {digest[:16]}")
            return record_of(change(read_key(object_key, record)))

        written = self._records.change(object_key, changed)
        assert written
        changed_key = read_key(object_key, written)
        self._trusted.put(changed_key.id, changed_key)
        return self._trusted.put(digest, changed_key)

    def _forget(self, digest: str, client: str) -> None:
        """Remove a key that was shown to no client."""
        self._records.change(object_key_of(digest), lambda _: None)
        self._objects.delete(_use_of(client, digest))

    def _by_id(self, key_id: str) -> tuple[str, Key]:
        found = list(self._records.all(object_key_of(key_id))) if ID.fullmatch(key_id) else []
        if len(found) != 1:
            raise LookupError(f"there is no key {key_id}; `list` shows them all")
        ((object_key, record),) = found
        return object_key.removeprefix("keys/"), read_key(object_key, record)

    def _write_use(self, digest: str, key: Key) -> None:
        at = now()
        if at - self._used.get(key.id, datetime.min.replace(tzinfo=at.tzinfo)) < USE_GRAIN:
            return
        self._used[key.id] = at  # set first: of many requests at once, one writes
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

    def _of(self, digest: str) -> Key:
        object_key = object_key_of(digest)
        record = self._records.read(object_key)
        if record is None:
            raise NotStored(digest)
        return read_key(object_key, record)


def _use_of(client: str, digest: str) -> str:
    return f"keys-used/{client}/{digest}"
