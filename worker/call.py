"""Call a receiver once: by POST, at the very address that was judged, cut off after its time."""

import email.utils
import http.client
import logging
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from threading import Timer

from jobs.callback_url import DEFAULT_PORTS, Callback, CallbackRefused, resolve

log = logging.getLogger(__name__)

ANSWER_BYTES = 1024
"""What is kept of an answer's body."""
LONGEST_PAUSE = timedelta(hours=1)
"""What a receiver may ask for by Retry-After."""
CONNECT_SECONDS = 5.0


@dataclass(frozen=True)
class Answer:
    """What came of a call: a status and the beginning of the body, or an `error` for a person to read."""

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
    callback: Callback, body: bytes, headers: dict[str, str], exceptions: frozenset[str], seconds: float
) -> Answer:
    """Send one POST. No redirect is followed and no proxy asked; every failure is an Answer."""
    start = time.monotonic()
    try:
        addresses = resolve(callback, exceptions)
        with _connection(callback, addresses, seconds) as connection:
            host = _host_header(callback.host, callback.port, callback.scheme)
            connection.request("POST", callback.target, body=body, headers=headers | {"host": host})
            response = connection.getresponse()
            text = response.read(ANSWER_BYTES).decode("utf-8", "replace")
            return Answer(
                seconds=time.monotonic() - start,
                status=response.status,
                body=text,
                retry_after=_retry_after(response.getheader("Retry-After")),
            )
    except CallbackRefused as error:
        return Answer(time.monotonic() - start, error=str(error))
    except (OSError, http.client.HTTPException) as error:
        return Answer(time.monotonic() - start, error=f"no answer: {type(error).__name__}")


@contextmanager
def _connection(
    callback: Callback, addresses: Sequence[str], seconds: float
) -> Iterator[http.client.HTTPConnection]:
    """Connect to the first of `addresses` that answers, by TLS as `callback` has it.

    Everything is cut off after `seconds`, in all.

    A socket's own time-out starts anew with every byte, so a receiver that answers slowly enough could hold
    a thread for ever.
    """
    with ExitStack() as stack:
        until = time.monotonic() + seconds
        plain = stack.enter_context(_connected(addresses, callback.port, seconds))
        # Of its own, because TLS takes the first one over.
        lever = stack.enter_context(plain.dup())
        timer = Timer(max(0.0, until - time.monotonic()), _cut_off, [lever])
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        plain.settimeout(seconds)
        line = plain
        if callback.scheme == "https":
            line = _tls().wrap_socket(plain, server_hostname=callback.host)
        connection = http.client.HTTPConnection(callback.host, callback.port)
        connection.sock = line
        stack.callback(connection.close)
        yield connection


def _connected(addresses: Sequence[str], port: int, seconds: float) -> socket.socket:
    """A connection to the first address that takes one. Raises OSError where none does."""
    limit = min(CONNECT_SECONDS, seconds / len(addresses))
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


def _host_header(host: str, port: int, scheme: str) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == DEFAULT_PORTS[scheme] else f"{name}:{port}"


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
