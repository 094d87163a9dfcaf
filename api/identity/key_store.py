"""API keys, of which the object store keeps hashes only: whose they are, what they may, and until when."""

import logging
import re
import secrets
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from api.identity.key import Key, digest_of, id_of, place_of, read, record_of
from api.identity.scopes import Scope
from jobs.record.errors import NotStored, StoreUnavailable
from jobs.record.job import moment_text, now
from jobs.store.recent import Recent
from jobs.store.records import Records

log = logging.getLogger(__name__)

FORM = re.compile(r"osteo_[A-Za-z0-9_-]{43}")
CLIENT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
ID = re.compile(r"[0-9a-f]{16}")
USE_GRAIN = timedelta(hours=1)
"""A key's last use is written down at most so often."""
_SKEW = timedelta(minutes=1)
"""A key that ends within it makes no other: another process, whose clock is ahead, may have revoked it."""


class MakerEnded(LookupError):
    """The key that asks for another one has ended."""


class Keys:
    """The keys, at `keys/<sha256>`, and their last uses, at `keys-used/<client>/<sha256>`, empty until then.

    One that was read is trusted for `trust_seconds`: for so long a process that has just seen it may take it
    after its revocation. Every method may raise StoreUnavailable.
    """

    def __init__(self, records: Records, trust_seconds: float = 30.0) -> None:
        self._records = records
        self._objects = records.objects
        self._trusted = Recent[Key](trust_seconds)
        self._used: dict[str, datetime] = {}

    def create(
        self, client: str, scopes: Collection[Scope] = tuple(Scope), made_by: str | None = None
    ) -> str:
        """A new key for `client`, stored hashed; this is the only time that it is seen. Raises ValueError.

        Raises MakerEnded where the key that it is `made_by` has ended.
        """
        if not CLIENT.fullmatch(client):
            raise ValueError("a client's name has 1 to 63 lower-case letters, digits and hyphens")
        key = f"osteo_{secrets.token_urlsafe(32)}"
        digest = digest_of(key)
        # First: no key is left out of its client's list, and a name without a key is passed over there.
        self._objects.put(_use_of(client, digest), b"")
        made = Key(id_of(key), client, frozenset(scopes), now(), made_by=made_by)
        self._records.create(place_of(digest), record_of(made))
        # Behind its writing: a revocation of what its maker made has seen it by now, or is seen here.
        if made_by and self._by_id(made_by)[1].ended(now() + _SKEW):
            self._forget(digest, client)
            raise MakerEnded(f"the key {made_by} has ended")
        return key

    def holder_of(self, key: str) -> Key | None:
        """What is known of `key`; None for a wrong or ended one."""
        if not FORM.fullmatch(key):
            return None
        digest = digest_of(key)
        try:
            known = self._trusted.get(digest, lambda: self._of(digest))
        except NotStored:
            return None
        if known.ended(now()):
            return None
        self._note_use(digest, known)
        return known

    def all(self) -> Iterator[tuple[Key, datetime | None]]:
        """Every key, ended ones too, and when it was last used, to the hour."""
        for place, record in self._records.all("keys/"):
            known = read(place, record)
            yield known, self._last_use(known.client, place.removeprefix("keys/"))

    def of_client(self, client: str) -> Iterator[tuple[Key, datetime | None]]:
        """As `all`, of one client, without a look at others'; a key of 0.1.0 is there once it was used."""
        for name in self._objects.keys(_use_of(client, "")):
            with suppress(NotStored):
                digest = name.rpartition("/")[2]
                yield self._of(digest), self._last_use(client, digest)

    def one(self, client: str, key_id: str) -> Key:
        """The key of this id, ended or not. Raises LookupError where it is not this client's."""
        _, known = self._by_id(key_id)
        if known.client != client:
            raise LookupError(f"{client} has no key {key_id}")
        return known

    def rotate(self, key_id: str, overlap: timedelta, made_by: str | None = None) -> tuple[str, Key]:
        """A new key with the rights of the one of this id, which ends after `overlap`.

        Raises LookupError, as `create` does, too.
        """
        digest, known = self._by_id(key_id)
        key = self.create(known.client, known.scopes, made_by)

        def change(before: Key) -> Key:
            if before.ended(now()):
                raise LookupError(f"the key {key_id} has ended; create a new one")
            return before.ending(now() + overlap)

        try:
            return key, self._change(digest, change)
        except LookupError:
            self._forget(digest_of(key), known.client)
            raise

    def revoke(self, key_id: str, and_made: bool = False) -> list[Key]:
        """End the key of this id now, and with `and_made` all that it made. Raises LookupError."""
        ended = {key_id: self._end(self._by_id(key_id)[0])}
        while and_made:
            # Anew until a listing shows no other: a key may have been made while its maker was being ended.
            client = ended[key_id].client
            made = [key for key, _ in self.of_client(client) if key.made_by in ended and key.id not in ended]
            if not made:
                break
            ended |= {key.id: self._end(self._by_id(key.id)[0]) for key in made}
        return list(ended.values())

    def _end(self, digest: str) -> Key:
        return self._change(digest, lambda before: before.ending(now()))

    def _change(self, digest: str, change: Callable[[Key], Key]) -> Key:
        place = place_of(digest)

        def changed(record: bytes | None) -> bytes:
            if record is None:
                raise LookupError(f"there is no key {digest[:16]}")
            return record_of(change(read(place, record)))

        stands = self._records.change(place, changed)
        assert stands
        return self._trusted.put(digest, read(place, stands))

    def _forget(self, digest: str, client: str) -> None:
        """Remove a key that was shown to no client."""
        self._records.change(place_of(digest), lambda _: None)
        self._objects.delete(_use_of(client, digest))

    def _by_id(self, key_id: str) -> tuple[str, Key]:
        found = list(self._records.all(place_of(key_id))) if ID.fullmatch(key_id) else []
        if len(found) != 1:
            raise LookupError(f"there is no key {key_id}; `list` shows them all")
        ((place, record),) = found
        return place.removeprefix("keys/"), read(place, record)

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

    def _of(self, digest: str) -> Key:
        place = place_of(digest)
        record = self._records.read(place)
        if record is None:
            raise NotStored(digest)
        return read(place, record)


def _use_of(client: str, digest: str) -> str:
    return f"keys-used/{client}/{digest}"
