"""Calls a receiver once: by POST, at the address that was checked, for a limited time."""

import http.client
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache, partial
from threading import Thread, Timer
from time import monotonic
from typing import TypeVar

from urllib3.exceptions import InvalidHeader
from urllib3.util.retry import Retry

from jobs.callbacks.url import CallbackTarget, CallbackUrlRefused, resolve
from worker.delivery.connections import ClientOrigin, Connection, Connections

Result = TypeVar("Result")
Message = tuple[bytes, dict[str, str]]
"""The body and the headers of a POST."""

_ANSWER_BYTES = 1024
"""Most bytes of an answer's body that are kept."""
LONGEST_PAUSE = timedelta(hours=1)
"""Longest pause that a receiver can ask for by Retry-After."""
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
    callback: CallbackTarget,
    message: Callable[[], Message],
    exceptions: frozenset[str],
    seconds: float,
    client: str,
    connections: Connections,
) -> CallResult:
    """Send one POST, within `seconds` in all, and return the outcome. A failure is an outcome, too.

    It waits for a permit first, which is no part of the `seconds`, and asks for the `message` then: what it
    says, and when it was signed, must not be as old as the wait. No redirect is followed, and no proxy is
    used. Raises what `message` raises.
    """
    origin = (client, callback.origin)
    with connections.call_permit(origin):
        body, headers = message()
        start = monotonic()
        until = start + seconds
        try:
            addresses = _in_time(seconds, lambda: resolve(callback, exceptions))
            with ExitStack() as stack:
                sent = partial(_post, callback, body, headers | {"host": callback.authority})
                connection, response = connections.take(origin, addresses), None
                if connection:
                    stack.enter_context(_limited(origin, connection, connections, until))
                    # The receiver closes it at this moment: nothing was answered on it.
                    with suppress(ConnectionError, ssl.SSLError):
                        response = sent(connection.http)
                if connection is None or response is None:
                    connection = _opened(callback, addresses, until)
                    stack.enter_context(_limited(origin, connection, connections, until))
                    if callback.scheme == "https":
                        plain = connection.http.sock
                        connection.http.sock = _tls().wrap_socket(plain, server_hostname=callback.host)
                    response = sent(connection.http)
                text = response.read(_ANSWER_BYTES).decode("utf-8", "replace")
                ended = response.will_close or connection.http.sock is None
                connection.reusable = response.isclosed() and not ended
                return CallResult(
                    seconds=monotonic() - start,
                    status=response.status,
                    body=text,
                    retry_after=_retry_after(response.getheader("Retry-After")),
                )
        except CallbackUrlRefused as error:
            return CallResult(monotonic() - start, error=str(error))
        except Exception as error:
            # Without its text, which may contain the URL.
            return CallResult(monotonic() - start, error=f"no answer: {type(error).__name__}")


def _post(
    callback: CallbackTarget, body: bytes, headers: dict[str, str], connection: http.client.HTTPConnection
) -> http.client.HTTPResponse:
    """Send the request, and read the answer up to its body."""
    connection.request("POST", callback.target, body=body, headers=headers)
    response = connection.getresponse()
    while response.status < 200:  # Informational, such as 103 Early Hints.
        response.headers = None  # type: ignore[assignment]  # what `begin` asks before it reads on
        response.begin()
    return response


def _in_time(seconds: float, work: Callable[[], Result]) -> Result:
    """Return the result of `work`, which runs in a thread of its own. Raises TimeoutError after `seconds`.

    The thread then goes on, because a look-up of a name cannot be interrupted. The resolver limits its time.
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
def _limited(
    origin: ClientOrigin, connection: Connection, connections: Connections, until: float
) -> Iterator[None]:
    """Cut the connection off at the time `until`, by the monotonic clock, and give it back after the block.

    A socket's own timeout starts anew with every byte, so that a slow receiver could otherwise occupy a
    thread for ever.
    """
    with ExitStack() as stack:
        stack.callback(connections.give_back, origin, connection)
        timer = Timer(_left(until), _cut_off, [connection.handle])
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        connection.http.sock.settimeout(_left(until))
        yield


def _opened(callback: CallbackTarget, addresses: Sequence[str], until: float) -> Connection:
    """Connect to the first of `addresses` that answers."""
    address, plain = _connected(addresses, callback.port, _left(until))
    # Else the body of a request waits until the receiver has acknowledged the headers.
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    http_connection = http.client.HTTPConnection(callback.host, callback.port)
    # Once closed it would look up the name by itself, and connect to an address that was not checked.
    http_connection.auto_open = 0
    http_connection.sock = plain
    return Connection(address, http_connection, plain.dup())


def _left(until: float) -> float:
    """Return the seconds until then. Raises TimeoutError where none are left."""
    seconds = until - monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def _connected(addresses: Sequence[str], port: int, seconds: float) -> tuple[str, socket.socket]:
    """Return the first address that accepts a connection, and that. Raises OSError where none does."""
    limit = min(_CONNECT_SECONDS, seconds / len(addresses))
    for address in addresses[:-1]:
        with suppress(OSError):
            return address, socket.create_connection((address, port), limit)
    return addresses[-1], socket.create_connection((addresses[-1], port), limit)


@cache
def _tls() -> ssl.SSLContext:
    """Return the TLS context. It is made once: reading the certificates takes longer than most calls."""
    return ssl.create_default_context()


def _cut_off(handle: socket.socket) -> None:
    with suppress(OSError):
        handle.shutdown(socket.SHUT_RDWR)


def _retry_after(text: str | None) -> timedelta | None:
    """Return the pause that Retry-After asks for, as seconds or a date; None where it is not valid."""
    try:
        seconds = Retry().parse_retry_after(text or "")
    except (InvalidHeader, ValueError, OverflowError):
        return None
    return timedelta(seconds=min(seconds, LONGEST_PAUSE.total_seconds()))
