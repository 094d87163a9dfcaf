"""Keeps connections to receivers open between calls, and limits the calls to one receiver at a time."""

import http.client
import socket
import ssl
import time
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

from urllib3.util.wait import wait_for_read

CALLS_AT_ONCE = 3
"""Most calls of one worker to one receiver of a client at once: a receiver may answer them one by one."""
IDLE_SECONDS = 30.0
"""Seconds after its last answer within which a connection is used again. A later call closes it."""
_MOST_IDLE = 64
"""Most connections without a call."""

ClientOrigin = tuple[str, str]
"""A client, and the origin of its receiver. Clients share neither connections nor permits."""


@dataclass(eq=False)
class Connection:
    """A connection to an address that was checked. It is not opened again once it has closed."""

    address: str
    http: http.client.HTTPConnection
    handle: socket.socket
    """A second handle of the socket, because TLS takes over the first."""
    reusable: bool = False
    """Whether the last answer was read to its end, and the receiver keeps the connection open."""
    idle_since: float = 0.0

    @property
    def usable(self) -> bool:
        """Whether another call may be made: nothing has come since the last answer, such as an end."""
        young = time.monotonic() - self.idle_since < IDLE_SECONDS
        # What has been decrypted no longer shows at the socket.
        decrypted = isinstance(self.http.sock, ssl.SSLSocket) and self.http.sock.pending()
        return young and not decrypted and not wait_for_read(self.http.sock, timeout=0)

    def close(self) -> None:
        """Close the connection."""
        self.http.close()
        self.handle.close()


class Connections:
    """The connections of one worker. Any thread may use it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._waiting: defaultdict[ClientOrigin, deque[object]] = defaultdict(deque)
        self._calls: Counter[ClientOrigin] = Counter()
        self._idle: deque[tuple[ClientOrigin, Connection]] = deque()

    @contextmanager
    def call_permit(self, origin: ClientOrigin) -> Iterator[None]:
        """Wait until fewer than CALLS_AT_ONCE calls to this origin are made, first come first served."""
        waiter = object()
        with self._changed:
            waiting = self._waiting[origin]
            waiting.append(waiter)
            self._changed.wait_for(lambda: waiting[0] is waiter and self._calls[origin] < CALLS_AT_ONCE)
            waiting.popleft()
            self._calls[origin] += 1
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._calls[origin] -= 1
                if not self._calls[origin] and not waiting:
                    del self._calls[origin], self._waiting[origin]
                self._changed.notify_all()

    def take(self, origin: ClientOrigin, addresses: Collection[str]) -> Connection | None:
        """Return a connection kept for this origin, to one of the addresses; None where none is kept."""
        while connection := self._last(origin):
            if connection.address in addresses and connection.usable:
                return connection
            connection.close()
        return None

    def _last(self, origin: ClientOrigin) -> Connection | None:
        with self._changed:
            entry = next((entry for entry in reversed(self._idle) if entry[0] == origin), None)
            if entry is None:
                return None
            self._idle.remove(entry)
            return entry[1]

    def give_back(self, origin: ClientOrigin, connection: Connection) -> None:
        """Keep a reusable connection for the next call, and close any other one, and those that are old."""
        closed = [] if connection.reusable else [connection]
        with self._changed:
            if connection.reusable:
                connection.reusable, connection.idle_since = False, time.monotonic()
                self._idle.append((origin, connection))
            oldest_kept = time.monotonic() - IDLE_SECONDS
            while self._idle and (len(self._idle) > _MOST_IDLE or self._idle[0][1].idle_since < oldest_kept):
                closed.append(self._idle.popleft()[1])
        for one in closed:
            one.close()
