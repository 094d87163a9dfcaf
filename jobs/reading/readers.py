"""Stores readers in the object store, and finds them by the hashes of their keys."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from jobs.reading.quiet_hours import quiet_hours
from jobs.reading.reader import KEY_FORM, Reader, new_key, new_reader, read_reader, record_of
from jobs.record.errors import NotStored, TransientError
from jobs.record.ids import digest_of, is_id
from jobs.record.job import now
from jobs.store.recent import Recent
from jobs.store.records import Records
from jobs.web_push.subscriptions import PushSubscriptions

_PREFIX = "readers/"
CODE_FAILURES = 5
"""Wrong one-time codes of a reader within CODE_LOCK after which no code is looked at, for as long."""
CODE_LOCK = timedelta(minutes=5)


class CodesLocked(Exception):
    """A reader has given too many wrong one-time codes; `until` is when the next is looked at."""

    def __init__(self, until: datetime) -> None:
        super().__init__(f"locked until {until}")
        self.until = until


class Readers:
    """The readers, at `readers/<reader id>`, and the ids that keys lead to, at `reader-keys/<sha256>`.

    A process trusts a reader whom it has read for `trust_seconds`, even if the reader is disabled or signs
    out meanwhile. Every method may raise StoreUnavailable.
    """

    def __init__(self, records: Records, trust_seconds: float = 30.0) -> None:
        self._records = records
        self._objects = records.objects
        self._subscriptions = PushSubscriptions(records)
        self._trusted = Recent[Reader](trust_seconds)
        self._ids = Recent[str](trust_seconds)

    def create(
        self, name: str, groups: frozenset[str], client: str | None = None, email: str | None = None
    ) -> tuple[str, Reader]:
        """Store a new reader. Returns the key, this once, and the reader. Raises ValueError as new_reader."""
        key, reader = new_reader(name, groups, client, email, now())
        self._objects.put_new(_key_address(reader.key_digest), reader.id.encode())
        self._records.create(_address(reader.id), record_of(reader))
        return key, reader

    def of_key(self, key: str) -> Reader | None:
        """Look a reader key up; None for a wrong or replaced key, and for a disabled reader."""
        if not KEY_FORM.fullmatch(key):
            return None
        digest = digest_of(key)
        try:
            reader_id = self._ids.get(digest, lambda: self._objects.get(_key_address(digest)).decode())
            reader = self.known(reader_id)
        except (NotStored, LookupError):
            return None
        return reader if reader.key_digest == digest and not reader.disabled_at else None

    def one(self, reader_id: str) -> Reader:
        """Read a reader, disabled or not. Raises LookupError."""
        record = self._records.read(_address(reader_id)) if is_id("reader", reader_id) else None
        if record is None:
            raise LookupError(f"there is no reader {reader_id}; `list` shows them all")
        return read_reader(record)

    def known(self, reader_id: str) -> Reader:
        """Return a reader as it was read at most `trust_seconds` ago. Raises LookupError."""
        return self._trusted.get(reader_id, lambda: self.one(reader_id))

    def all(self) -> Iterator[Reader]:
        """List every reader, disabled ones too, oldest first."""
        return (read_reader(record) for _, record in self._records.all(_PREFIX))

    def in_group(self, group: str) -> Iterator[Reader]:
        """List the readers of a group who are not disabled."""
        return (reader for reader in self.all() if group in reader.groups and not reader.disabled_at)

    def disable(self, reader_id: str) -> Reader:
        """End the reader's key, sessions and push subscriptions for good. Raises LookupError."""
        after = self.change(reader_id, lambda r: replace(r, disabled_at=r.disabled_at or now()))
        self._subscriptions.remove_all(reader_id)
        return after

    def rotate(self, reader_id: str) -> tuple[str, Reader]:
        """Replace the reader's key, and end all sessions and push subscriptions.

        Returns the new key, this once, and the reader. Raises LookupError. The removal of what is
        left of the old key raises nothing: an error would lose the new one.
        """
        before, key = self.one(reader_id), new_key()
        digest = digest_of(key)
        self._subscriptions.remove_all(reader_id)
        self._objects.put_new(_key_address(digest), reader_id.encode())
        after = self.change(reader_id, lambda r: replace(r, key_digest=digest, sessions_from=now()))
        with suppress(TransientError):  # An ended session may have subscribed meanwhile.
            self._subscriptions.remove_all(reader_id)
        with suppress(TransientError):  # of_key refuses the old key in any case.
            self._objects.delete(_key_address(before.key_digest))
        return key, after

    def replace_totp(self, reader_id: str) -> Reader:
        """Give the reader a new secret for one-time codes; the one before is void. Raises LookupError."""
        return self.change(reader_id, lambda r: replace(r, totp_generation=r.totp_generation + 1))

    def set_quiet(self, reader_id: str, text: str | None) -> Reader:
        """Set the hours in which the reader is told of urgent readings alone; None for no such hours.

        Raises ValueError for a text that jobs.reading.quiet_hours does not read, LookupError.
        """
        if text is not None:
            quiet_hours(text)
        return self.change(reader_id, lambda r: replace(r, quiet=text))

    def end_session(self, reader_id: str, session_id: str) -> Reader:
        """End one session: every process refuses it within `trust_seconds`. Raises LookupError."""
        return self.change(reader_id, lambda reader: reader.without_session(session_id, now()))

    def use_totp_step(self, reader_id: str, step: int | None) -> bool:
        """Take the one-time code of a time step; `step` is None for a wrong code, which counts as a failure.

        Returns False for a step that was used before, or is older than one: that counts as a failure, too.
        Raises CodesLocked after CODE_FAILURES failures, LookupError for no such reader.
        """

        used = False

        def taken(reader: Reader) -> Reader:
            nonlocal used
            used, at = False, now()  # Another process may have been faster: then this runs again.
            failures = tuple(moment for moment in reader.totp_failures if at - moment < CODE_LOCK)
            if len(failures) >= CODE_FAILURES:
                raise CodesLocked(failures[-CODE_FAILURES] + CODE_LOCK)
            if step is not None and step == reader.totp_step:
                return reader  # A repetition of the last one is refused, and is no attempt to guess.
            if step is None or step < reader.totp_step:
                return replace(reader, totp_failures=(*failures, at))
            used = True
            return replace(reader, totp_step=step, totp_failures=())

        self.change(reader_id, taken)
        return used

    def change(self, reader_id: str, change: Callable[[Reader], Reader]) -> Reader:
        """Replace a reader by what `change`, which may run again, makes of it. Raises LookupError."""

        def changed(record: bytes | None) -> bytes:
            if record is None:
                raise LookupError(f"there is no reader {reader_id}; `list` shows them all")
            return record_of(change(read_reader(record)))

        if not is_id("reader", reader_id):
            raise LookupError(f"there is no reader {reader_id}; `list` shows them all")
        written = self._records.change(_address(reader_id), changed)
        assert written
        return self._trusted.put(reader_id, read_reader(written))


def _address(reader_id: str) -> str:
    return f"{_PREFIX}{reader_id}"


def _key_address(digest: str) -> str:
    return f"reader-keys/{digest}"
