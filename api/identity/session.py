"""Signs people in: the session that a cookie stands for, and the cookie's value."""

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from itsdangerous import BadSignature, URLSafeSerializer

from jobs.reading.reader import SESSION_LIFETIME, Reader
from jobs.reading.readers import Readers
from jobs.record.job import now

COOKIE = "osteo_session"


@dataclass(frozen=True)
class Session:
    """A reader who is signed in. `id` is random, and a new one at each sign-in."""

    id: str
    reader: Reader
    began_at: datetime


class Sessions:
    """The sessions. The cookie holds all of a session, signed; the reader's record has which were ended.

    So a process refuses a session at most `trust_seconds` of `readers` after it was ended by another.
    """

    def __init__(self, readers: Readers, signing_key: str) -> None:
        self._readers = readers
        key = hmac.digest(signing_key.encode(), b"session", sha256)
        self._serializer = URLSafeSerializer(
            key, salt=COOKIE, signer_kwargs={"key_derivation": "hmac", "digest_method": sha256}
        )

    def begin(self, reader: Reader) -> tuple[Session, str]:
        """Begin a session. Returns it and the value of its cookie."""
        session = Session(secrets.token_urlsafe(24), reader, now())
        milliseconds = round(session.began_at.timestamp() * 1000)
        value = self._serializer.dumps([session.id, reader.id, milliseconds])
        return session, str(value)

    def of(self, cookie: str | None) -> Session | None:
        """Return the session of a cookie; None for one that is forged, expired or ended.

        Raises StoreUnavailable.
        """
        try:
            session_id, reader_id, milliseconds = self._serializer.loads(cookie or "")
            reader = self._readers.known(reader_id)
        except (BadSignature, LookupError):
            return None
        began_at = datetime.fromtimestamp(milliseconds / 1000, UTC)
        if now() - began_at >= SESSION_LIFETIME or not reader.accepts(session_id, began_at):
            return None
        return Session(session_id, reader, began_at)

    def end(self, session: Session) -> None:
        """End a session for every process. Raises StoreUnavailable."""
        self._readers.end_session(session.reader.id, session.id)
