"""Links persons at an OpenID Connect provider to readers: by command, or by a verified e-mail."""

from dataclasses import replace
from hashlib import sha256

from jobs.reading.reader import Reader
from jobs.reading.readers import Readers
from jobs.record.job import now
from jobs.store.records import Records


def subject_of(issuer: str, sub: str) -> str:
    """Return the text that stands for one person at one provider; no URL of a provider has a space."""
    return f"{issuer} {sub}"


class Links:
    """The links: each in the record of its reader, and found at `reader-subjects/<sha256 of the subject>`.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, records: Records, readers: Readers) -> None:
        self._records = records
        self._readers = readers

    def reader_of(self, subject: str, email: str | None) -> Reader | None:
        """Return the reader who is linked to this person, disabled or not; None where there is none.

        A person who is not linked becomes so here, if `email`, which the provider has verified, is that of
        exactly one enabled reader, and that reader is linked to no one.
        """
        found = self._records.read(_address(subject))
        if found and (linked := self._linked(found.decode(), subject)):
            return linked
        if not email:
            return None
        wanted = email.casefold()
        same = [
            reader
            for reader in self._readers.all()
            if not reader.disabled_at and (reader.email or "").casefold() == wanted
        ]
        if len(same) != 1 or same[0].oidc_subject:
            return None
        try:
            return self._link(same[0].id, subject, replaces=False)
        except ValueError:  # Another person, or the operator, was faster.
            return None

    def link(self, reader_id: str, subject: str) -> Reader:
        """Let this person sign in as the reader, in place of whom the reader was linked to before.

        In the latter case all sessions end. Raises LookupError, and ValueError for a person who is linked to
        another reader.
        """
        return self._link(reader_id, subject, replaces=True)

    def _link(self, reader_id: str, subject: str, replaces: bool) -> Reader:
        def taken(before: bytes | None) -> bytes:
            other = before and before.decode()
            if other and other != reader_id and self._linked(other, subject):
                raise ValueError(f"this person is linked to {other}")
            return reader_id.encode()

        def linked(reader: Reader) -> Reader:
            if reader.oidc_subject in (None, subject):
                return replace(reader, oidc_subject=subject)
            if not replaces:
                raise ValueError(f"{reader_id} is linked to another person")
            return replace(reader, oidc_subject=subject, sessions_from=now())

        self._readers.one(reader_id)
        self._records.change(_address(subject), taken)
        return self._readers.change(reader_id, linked)

    def _linked(self, reader_id: str, subject: str) -> Reader | None:
        reader = self._readers.one(reader_id)
        return reader if reader.oidc_subject == subject else None


def _address(subject: str) -> str:
    return f"reader-subjects/{sha256(subject.encode()).hexdigest()}"
