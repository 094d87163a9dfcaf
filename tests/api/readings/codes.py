"""One-time codes as a reader's authenticator app shows them."""

import time
from dataclasses import dataclass

import pyotp

from api.identity.totp import totp_secret
from jobs.reading.reader import Reader
from tests.conftest import SIGNING_KEY, await_that

_SECONDS = 30


@dataclass
class Codes:
    """The authenticator app of a reader."""

    reader: Reader
    step: int = 0
    """The time step of the last code."""

    def next(self) -> str:
        """Return a code that was not used, and that the service takes for 30 seconds or more.

        It is of the present time step or of the one after it. Where both were used it waits.
        """
        self.step = max(_present(), self.step + 1)
        await_that(lambda: self.step <= _present() + 1)
        return pyotp.TOTP(totp_secret(SIGNING_KEY, self.reader)).at(self.step * _SECONDS)


def _present() -> int:
    return int(time.time()) // _SECONDS
