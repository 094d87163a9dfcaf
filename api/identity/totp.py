"""Checks the one-time codes by which a reader confirms a signature (TOTP, RFC 6238)."""

import hmac
import re
from base64 import b32encode
from datetime import datetime
from hashlib import sha256

import pyotp

from jobs.reading.reader import Reader
from jobs.reading.readers import Readers
from jobs.record.job import now

_CODE = re.compile(r"[0-9]{6}")
_SPACE = re.compile(r"\s")
_SECONDS = 30
_WINDOW = (0, -1, 1)
"""The time steps whose codes are taken, counted from the present one: a phone's clock may be off by one."""


class CodeRefused(ValueError):
    """A one-time code is wrong, or was used before."""


def totp_secret(signing_key: str, reader: Reader) -> str:
    """Return the secret of a reader's codes in base32, which is derived and not stored."""
    what = f"totp:{reader.id}" + (f":{reader.totp_generation}" if reader.totp_generation else "")
    return b32encode(hmac.digest(signing_key.encode(), what.encode(), sha256)[:20]).decode()


def otpauth_uri(signing_key: str, reader: Reader) -> str:
    """Return the address that an authenticator app reads, usually as a QR code."""
    totp = pyotp.TOTP(totp_secret(signing_key, reader))
    return str(totp.provisioning_uri(name=reader.name, issuer_name="Osteo-Synergy"))


class Codes:
    """The one-time codes of all readers. Each counts once, whichever process it is sent to."""

    def __init__(self, readers: Readers, signing_key: str) -> None:
        self._readers = readers
        self._signing_key = signing_key

    def check(self, reader_id: str, code: str, at: datetime | None = None) -> int:
        """Take a code of this reader, and return its time step.

        Raises CodeRefused, jobs.reading.readers.CodesLocked after too many wrong codes, LookupError for no
        such reader, StoreUnavailable.
        """
        step = self._step_of(self._readers.one(reader_id), _SPACE.sub("", code), at or now())
        if not self._readers.use_totp_step(reader_id, step) or step is None:
            raise CodeRefused("The one-time code is wrong or was used before. Wait for the next one.")
        return step

    def _step_of(self, reader: Reader, code: str, at: datetime) -> int | None:
        """Return the time step that a code is of; None for a code of no step in the window."""
        if not _CODE.fullmatch(code):
            return None
        totp, present = pyotp.TOTP(totp_secret(self._signing_key, reader)), int(at.timestamp()) // _SECONDS
        matching = [
            step
            for step in (present + offset for offset in _WINDOW)
            if hmac.compare_digest(totp.generate_otp(step), code)
        ]
        return max(matching, default=None)
