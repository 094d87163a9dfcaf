"""Call a receiver once: by POST, at the very address that was judged, cut off after its time."""

import email.utils
import http.client
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Thread, Timer
from typing import TypeVar

from jobs.callbacks.url import CallbackTarget, CallbackUrlRefused, resolve

Result = TypeVar("Result")

_ANSWER_BYTES = 1024
"""What is kept of an answer's body."""
LONGEST_PAUSE = timedelta(hours=1)
"""What a receiver may ask for by Retry-After."""
_CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class CallResult:
    """The outcome of a call: a status and the beginning of the body, or an `error` for a person to read."""

    seconds: float
    status: int | None = None
    body: str = ""
    retry_after: timedelta | None = None
    error: str | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver took the callback."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def reached(self) -> bool:
        """Whether the host answered, and not with an error of its own."""
        return self.status is not None and self.status < 500


def call(
    callback: CallbackTarget, body: bytes, headers: dict[str, str], exceptions: frozenset[str], seconds: float
) -> CallResult:
    """Send one POST, within `seconds` in all, and return the outcome: every failure is an Answer.

    No redirect is followed and no proxy asked.
    """
    start = time.monotonic()
    until = start + seconds
    try:
        addresses = _within(seconds, lambda: resolve(callback, exceptions))
        with _connection(callback, addresses, until) as connection:
            sent = headers | {"host": callback.authority}
            connection.request("POST", callback.target, body=body, headers=sent)
            response = connection.getresponse()
            while response.status < 200:  # Not an answer yet, such as 103 Early Hints.
                response.headers = None  # type: ignore[assignment]  # what `begin` asks before it reads on
                response.begin()
            text = response.read(_ANSWER_BYTES).decode("utf-8", "replace")
            return CallResult(
                seconds=time.monotonic() - start,
                status=response.status,
                body=text,
                retry_after=_retry_after(response.getheader("Retry-After")),
            )
    except CallbackUrlRefused as error:
        return CallResult(time.monotonic() - start, error=str(error))
    except Exception as error:
        # Not its text, which may hold the URL.
        return CallResult(time.monotonic() - start, error=f"no answer: {type(error).__name__}")


def _within(seconds: float, work: Callable[[], Result]) -> Result:
    """The result of `work`, in a thread that is left behind after `seconds`. Raises TimeoutError.

    A look-up of a name cannot be interrupted. It ends by the limits of the system's resolver.
    """
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, name="look-up", daemon=True).start()
    return outcome.result(seconds)


@contextmanager
def _connection(
    callback: CallbackTarget, addresses: Sequence[str], until: float
) -> Iterator[http.client.HTTPConnection]:
    """Connect to the first of `addresses` that answers, by TLS as `callback` has it.

    Everything is cut off at the time `until`, by the monotonic clock. A socket's own time-out starts anew
    with every byte, so a receiver that answers slowly enough could hold a thread for ever.
    """
    with ExitStack() as stack:
        plain = stack.enter_context(_connected(addresses, callback.port, _left(until)))
        # Of its own, because TLS takes the first one over.
        lever = stack.enter_context(plain.dup())
        timer = Timer(_left(until), _cut_off, [lever])
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        plain.settimeout(_left(until))
        line = plain
        if callback.scheme == "https":
            line = _tls().wrap_socket(plain, server_hostname=callback.host)
        connection = http.client.HTTPConnection(callback.host, callback.port)
        connection.sock = line
        stack.callback(connection.close)
        yield connection


def _left(until: float) -> float:
    """The seconds until then. Raises TimeoutError where there are none."""
    seconds = until - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connected(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """A connection to the first address that takes one. Raises OSError where none does."""
    limit = min(_CONNECT_SECONDS, seconds / len(addresses))
    for address in addresses[:-1]:
        with suppress(OSError):
            return socket.create_connection((address, port), limit)
    return socket.create_connection((addresses[-1], port), limit)


@cache
def _tls() -> ssl.SSLContext:
    """Made once: reading the authorities' certificates takes longer than most calls."""
    return ssl.create_default_context()


def _cut_off(line: socket.socket) -> None:
    with suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)


def _retry_after(text: str | None) -> timedelta | None:
    """What Retry-After says, in seconds or as a date; None where it says nothing that can be read."""
    if not text:
        return None
    try:
        if text.strip().isdigit():
            pause = timedelta(seconds=min(int(text), LONGEST_PAUSE.total_seconds()))
        else:
            pause = email.utils.parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return None
    return max(timedelta(0), min(pause, LONGEST_PAUSE))
