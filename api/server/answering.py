"""One client's connection from an answer on: it is sent as the client takes it, then comes the end."""

import socket
import time
from abc import ABC, abstractmethod
from enum import Enum
from functools import partial
from typing import Any

from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestEntityTooLarge

from api.intake.body_limits import Allowance
from api.server.body import Body
from api.server.exchange import Exchange
from api.server.least_rate import Pace
from api.server.outbox import Outbox

LINGER_BYTES = 1024 * 1024
"""For how much of what a client still sends it may take the end of its last answer."""
_REFUSAL_SECONDS = 10.0
"""Longest that a client may take to read why its head was refused."""


class AnswerPhase(Enum):
    """What a connection waits for."""

    IDLE = "the first byte of a request"
    HEAD = "the rest of a request's head"
    BODY = "the rest of a body"
    LINE = "a slot"
    RUNNING = "a thread"
    SENDING = "the client, to take more of the answer"
    SKIPPING = "the rest of a body that was refused"
    LINGERING = "the client, to close"
    CLOSED = "nothing"


class Answering(ABC):
    """Every method is for the event loop alone, and returns at once; `worker` listens for it."""

    def __init__(self, worker: Any, sock: socket.socket, peer: Any) -> None:
        sock.setblocking(False)
        self.worker, self.sock, self.peer = worker, sock, peer
        self.outbox = Outbox(sock)
        self.exchange: Exchange | None = None
        self.allowance: Allowance | None = None
        self.pace = Pace(0, float("inf"))
        self.spooled = 0
        self.drained = 0
        self.incoming = bytearray()
        self._holds_slot = False
        self.enter(AnswerPhase.IDLE)

    def enter(self, phase: AnswerPhase) -> None:
        """Wait for something else from now on."""
        self.phase = phase
        self.since = time.monotonic()

    @property
    def body(self) -> Body:
        """The body of the request at hand, which has one."""
        assert self.exchange
        assert self.exchange.body
        return self.exchange.body

    def writable(self) -> None:
        """Send more of the answer."""
        try:
            if self.outbox.flush():
                self._sent()
        except OSError:
            self.close()

    @abstractmethod
    def next_request(self) -> None:
        """Begin to read the next request."""

    def start(self) -> None:
        """Run the application: a slot was taken for this."""
        self._holds_slot = True
        self.run()

    def run(self, busy: bool = False) -> None:
        """Run the application; where it is `busy`, so that it says so."""
        assert self.exchange
        self.worker.listen(self, reading=False)
        self.enter(AnswerPhase.RUNNING)
        if busy:
            self.exchange.environ["api.too_busy"] = True
            self.body.missing = self.body.missing or RequestEntityTooLarge()
        self.exchange.environ["api.free_slot"] = partial(self.worker.post, self.free_slot)
        self.worker.run_in_thread(self.exchange.run, self._ran)

    def free_slot(self) -> None:
        """Give the slot back: the application has no more use for the body, or has answered."""
        if self._holds_slot:
            self._holds_slot = False
            self.worker.free(self.allowance)

    def refuse(self, status: int, reason: str) -> None:
        """Answer what is no request that can be read."""
        line = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.outbox.sendall(line.encode())
        self.end_with_this()

    def end_with_this(self) -> None:
        """Send what there is, and then no more."""
        self.enter(AnswerPhase.SENDING)
        self.pace = Pace(0, _REFUSAL_SECONDS)
        self.worker.listen(self, reading=False, writing=True)

    def close(self) -> None:
        """Let go of the socket at once, and of what the answer holds."""
        if self.phase is AnswerPhase.CLOSED:
            return
        self.worker.listen(self, reading=False)
        exchange, self.exchange = self.exchange, None
        if exchange and not exchange.finished:
            self.worker.pool.submit(exchange.abandon)
        self._forget_body()
        self.outbox.close()
        self.sock.close()
        self.enter(AnswerPhase.CLOSED)
        self.worker.forget(self)

    def _ran(self, _: None) -> None:
        assert self.exchange
        self.free_slot()
        if self.exchange.finished:
            self._forget_body()
        self.enter(AnswerPhase.SENDING)
        self.pace = Pace(self.worker.body_limits.settings.least_rate, float("inf"))
        self.writable()
        if self.phase is AnswerPhase.SENDING:
            self.worker.listen(self, reading=False, writing=True)

    def _sent(self) -> None:
        """Go on where all that there was has been sent."""
        exchange = self.exchange
        self.worker.listen(self, reading=False)
        if exchange and not exchange.finished:
            self.enter(AnswerPhase.RUNNING)
            self.worker.run_in_thread(exchange.go_on, self._ran)
        elif exchange and exchange.broken:
            self.close()
        elif exchange is None or exchange.closes:
            self._end()
        else:
            self.exchange = None
            self.next_request()

    def _end(self) -> None:
        """Read over what a client still sends of a refused body: cut off there, many lose the answer."""
        exchange = self.exchange
        body = exchange.body if exchange else None
        began = self.incoming or (body and body.received)
        if not (exchange and body and body.refused) or (exchange.expects_continue and not began):
            self.linger()
            return
        settings = self.worker.body_limits.settings
        self.enter(AnswerPhase.SKIPPING)
        self.pace = Pace(settings.least_rate, settings.body_seconds)
        self.worker.listen(self)
        self.skip(b"")

    def skip(self, data: bytes) -> None:
        """Read over more of a refused body, up to what the largest body may have."""
        self.incoming += data
        try:
            ended = self.body.skip(bytes(self.incoming))
        except ParseException:
            ended = True
        self.incoming.clear()
        if ended or self.body.received > self.worker.body_limits.settings.max_study_bytes:
            self.linger()

    def linger(self) -> None:
        """Say that nothing more comes, and read over the rest: what is closed unread cuts the answer off."""
        self.drained = len(self.incoming)
        self.incoming.clear()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.enter(AnswerPhase.LINGERING)
        self.worker.listen(self)

    def _forget_body(self) -> None:
        if self.spooled and self.allowance:
            self.worker.spool.give(self.allowance.client, self.spooled)
            self.spooled = 0
