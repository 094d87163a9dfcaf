"""Runs the event loop of one process, which waits for all clients at once; threads run the application."""

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
from api.intake.submission import FORM_OVERHEAD
from api.openapi.describe import Size
from api.server.answering import AnswerPhase
from api.server.byte_budget import ByteBudget
from api.server.connection import Connection
from api.server.request_queues import RequestQueues

log = logging.getLogger(__name__)

_STEP_SECONDS = 0.5
"""Seconds between two checks for connections that take too long."""
_LAST_SECONDS = 2.0
"""Most seconds in which a stopping process accepts further requests on open connections."""
PROBES = {socket.TCP_KEEPIDLE: 60, socket.TCP_KEEPINTVL: 15, socket.TCP_KEEPCNT: 4}
"""The process notices after two minutes that a client has vanished."""
_SEND_BUFFER = 256 * 1024
"""Bytes that the kernel buffers for a client that does not read."""


class Worker(GunicornWorker):
    """A gunicorn worker that reads requests and sends answers in one event loop.

    For a request with a body, the BodyLimits of the application name its client and its largest size before
    the body is read. Once the body is complete, the request waits for a slot in the queue of its client.
    """

    def init_process(self) -> None:
        """Prepare the event loop, and run it."""
        self.pool = ThreadPoolExecutor(self.cfg.threads, "request")
        self.idle_seconds = float(self.cfg.keepalive)
        self.connections: set[Connection] = set()
        self._poller = selectors.DefaultSelector()
        self._posted: deque[Callable[[], None]] = deque()
        self._next_look = 0.0
        super().init_process()

    def run(self) -> None:
        """Serve until the process is to stop, then until the last answer or the end of the grace period."""
        self.body_limits = self.wsgi.extensions["body_limits"]
        settings = self.body_limits.settings
        kept = {
            Size.IMAGE: INTAKES * (settings.max_bytes + FORM_OVERHEAD),
            Size.STUDY: STUDIES * settings.max_study_bytes,
        }
        # Smaller bodies stay in memory, and wait for no space.
        self._spools = {size: ByteBudget(most, most // 2) for size, most in kept.items()}
        self._queues: dict[Size, RequestQueues[Connection]] = {
            Size.IMAGE: RequestQueues(INTAKES, INTAKES // ONE_IN),
            Size.STUDY: RequestQueues(STUDIES, STUDIES // 2),
        }
        self._poller.register(self.PIPE[0], selectors.EVENT_READ, self._take_posted)
        for listener in self.sockets:
            listener.setblocking(False)
            self._poller.register(listener, selectors.EVENT_READ, partial(self._accept, listener))
        while self.alive and self.ppid == os.getppid():
            self._step()
        self._stop()

    def listen(self, connection: Connection, reading: bool = True, writing: bool = False) -> None:
        """Call the connection when its socket can be read or written; without either, no longer."""
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
        """Let the event loop make this call. Any thread may use it."""
        self._posted.append(call)
        with suppress(BlockingIOError):  # The pipe is full: the loop will wake up anyway.
            os.write(self.PIPE[1], b".")

    def run_in_thread(
        self, connection: Connection, work: Callable[[], Any], then: Callable[[Any], None]
    ) -> None:
        """Call `work` in a thread, and `then` with its result in the event loop.

        The connection is closed where one of them raises an exception: nothing else would ever end it.
        """

        def done(future: "Future[Any]") -> None:
            self.post(partial(self._guarded, connection, lambda: then(future.result())))

        self.pool.submit(work).add_done_callback(done)

    def queues_of(self, allowance: Allowance | None) -> RequestQueues[Connection] | None:
        """Return the queues in which such requests wait for a slot; None for requests that need none."""
        return self._queues.get(allowance.size) if allowance else None

    def spool_of(self, allowance: Allowance) -> ByteBudget | None:
        """Return the space on the disk for such bodies; None for those that stay in memory."""
        return self._spools.get(allowance.size)

    def start_next(self, queues: RequestQueues[Connection]) -> None:
        """Start every request for which a slot is free."""
        while connection := queues.next():
            connection.start()

    def free(self, allowance: Allowance) -> None:
        """Take a slot back, and start the next request."""
        queues = self._queues[allowance.size]
        queues.free(allowance.client)
        self.start_next(queues)

    def forget(self, connection: Connection) -> None:
        """Remove a closed connection."""
        self.connections.discard(connection)

    def _step(self) -> None:
        self.notify()
        for key, events in self._poller.select(_STEP_SECONDS):
            if not isinstance(key.data, Connection):
                key.data()
            elif key.data.phase is not AnswerPhase.CLOSED:
                step = key.data.writable if events & selectors.EVENT_WRITE else key.data.readable
                self._guarded(key.data, step)
        if (now := time.monotonic()) >= self._next_look:
            self._next_look = now + _STEP_SECONDS
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
        except OSError as error:  # The process has no free file descriptor.
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
        """Close an idle connection, preferably one that sent no request. Returns False if none is idle."""
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
            self._step()
        self.pool.shutdown(wait=False)
