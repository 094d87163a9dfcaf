"""The event loop of one process: it alone waits for clients, for all of them at once, and never for one."""

import logging
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from gunicorn.workers.base import Worker as GunicornWorker

from api.http.threads import INTAKES, ONE_IN, STUDIES
from api.intake.body_limits import Allowance
from api.openapi.describe import Size
from api.server.answering import AnswerPhase
from api.server.byte_budget import Budget
from api.server.client_queues import RequestQueues
from api.server.connection import Connection

log = logging.getLogger(__name__)

_TURN_SECONDS = 0.5
"""How often it looks for what has taken too long."""
_LAST_SECONDS = 2.0
"""For how long a process that is told to stop still takes requests on connections that it has."""
PROBES = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
"""A client that has vanished is noticed after two minutes."""
_SEND_BUFFER = 256 * 1024
"""Bytes that the kernel keeps for a client that does not read."""


class Worker(GunicornWorker):
    """Reads heads and bodies and sends answers without waiting; threads only ever run the application.

    A request with a body is shown to the application's gate first, which says whose it is and how many bytes
    it may have. Once all of it is here it waits for a slot, in its client's line.
    """

    def init_process(self) -> None:
        """Make what the loop needs, and run it."""
        self.pool = ThreadPoolExecutor(self.cfg.threads, "request")
        self.idle_seconds = float(self.cfg.keepalive)
        self.connections: set[Connection] = set()
        self._poller = selectors.DefaultSelector()
        self._posted: deque[Callable[[], None]] = deque()
        self._next_look = 0.0
        super().init_process()

    def run(self) -> None:
        """Serve until told to stop, then until the last request is answered or the grace period is over."""
        self.body_limits = self.wsgi.extensions["body_limits"]
        kept = STUDIES * self.body_limits.settings.max_study_bytes
        self.spool = Budget(kept, kept // 2)
        self._lines: dict[Size, RequestQueues[Connection]] = {
            Size.IMAGE: RequestQueues(INTAKES, INTAKES // ONE_IN),
            Size.STUDY: RequestQueues(STUDIES, STUDIES // 2),
        }
        self._poller.register(self.PIPE[0], selectors.EVENT_READ, self._take_posted)
        for listener in self.sockets:
            listener.setblocking(False)
            self._poller.register(listener, selectors.EVENT_READ, partial(self._accept, listener))
        while self.alive and self.ppid == os.getppid():
            self._turn()
        self._stop()

    def listen(self, connection: Connection, reading: bool = True, writing: bool = False) -> None:
        """Call the connection when it can be read or written, or not at all."""
        events = selectors.EVENT_READ * reading | selectors.EVENT_WRITE * writing
        known = connection.sock in self._poller.get_map()
        if not events:
            if known:
                self._poller.unregister(connection.sock)
        elif known:
            self._poller.modify(connection.sock, events, connection)
        else:
            self._poller.register(connection.sock, events, connection)

    def post(self, call: Callable[[], None]) -> None:
        """Have the loop make this call; from any thread."""
        self._posted.append(call)
        with suppress(BlockingIOError):  # It is full of reasons to wake up already.
            os.write(self.PIPE[1], b".")

    def run_in_thread(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Do `work` in a thread, and `then` in the loop with what it gave."""

        def done(future: "Future[Any]") -> None:
            self.post(lambda: then(future.result()))

        self.pool.submit(work).add_done_callback(done)

    def lines_of(self, allowance: Allowance | None) -> RequestQueues[Connection] | None:
        """The lines in which such requests wait for a slot; None where they need none."""
        return self._lines.get(allowance.size) if allowance else None

    def start_next(self, lines: RequestQueues[Connection]) -> None:
        """Start all whose turn it is."""
        while connection := lines.next():
            connection.start()

    def free(self, allowance: Allowance) -> None:
        """Take back a slot."""
        lines = self._lines[allowance.size]
        lines.free(allowance.client)
        self.start_next(lines)

    def forget(self, connection: Connection) -> None:
        """Note that this connection is closed."""
        self.connections.discard(connection)

    def _turn(self) -> None:
        self.notify()
        for key, events in self._poller.select(_TURN_SECONDS):
            if not isinstance(key.data, Connection):
                key.data()
            elif key.data.phase is not AnswerPhase.CLOSED:
                step = key.data.writable if events & selectors.EVENT_WRITE else key.data.readable
                self._guarded(key.data, step)
        if (now := time.monotonic()) >= self._next_look:
            self._next_look = now + _TURN_SECONDS
            for connection in list(self.connections):
                self._guarded(connection, partial(connection.expire, now))

    def _take_posted(self) -> None:
        with suppress(BlockingIOError):
            os.read(self.PIPE[0], 4096)
        for _ in range(len(self._posted)):
            try:
                self._posted.popleft()()
            except Exception:
                log.exception("the event loop made a mistake")

    def _guarded(self, connection: Connection, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            log.exception("the event loop made a mistake")
            connection.close()

    def _accept(self, listener: Any) -> None:
        try:
            sock, peer = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return
        except OSError as error:  # No more files.
            log.error("a connection was not taken: %s", error)
            self._make_room()
            return
        if len(self.connections) >= self.cfg.worker_connections and not self._make_room():
            sock.close()
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        for option, value in PROBES.items():
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
        connection = Connection(self, sock, peer)
        self.connections.add(connection)
        self.listen(connection)

    def _make_room(self) -> bool:
        """Close one connection that nothing is done for: first one that has asked for nothing yet."""
        spare = (AnswerPhase.LINGERING, AnswerPhase.SKIPPING, AnswerPhase.IDLE, AnswerPhase.HEAD)
        idle = [connection for connection in self.connections if connection.phase in spare]
        if idle:
            min(idle, key=lambda one: (one.phase not in spare[:2], one.served > 0, one.since)).close()
        return bool(idle)

    def _stop(self) -> None:
        for listener in self.sockets:
            self._poller.unregister(listener)
            listener.close()
        self.idle_seconds = min(self.idle_seconds, _LAST_SECONDS)
        ends = time.monotonic() + self.cfg.graceful_timeout
        while self.connections and time.monotonic() < ends:
            self._turn()
        self.pool.shutdown(wait=False)
