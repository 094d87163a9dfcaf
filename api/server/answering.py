"""Sends the answers of one connection as the client takes them, and closes the connection after the last."""

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
from api.server.least_rate import LeastRate
from api.server.send_buffer import SendBuffer

LINGER_BYTES = 1024 * 1024
"""Most bytes that are read from a client while it takes the end of its last answer."""
_REFUSAL_SECONDS = 10.0
"""Most seconds in which a client may read why its request was refused."""


class AnswerPhase(Enum):
    """What a connection waits for."""

    IDLE = "the first byte of a request"
    HEAD = "the rest of a request's head"
    BODY = "the rest of a body"
    QUEUED = "a slot"
    RUNNING = "a thread"
    SENDING = "the client, to take more of the answer"
    SKIPPING = "the rest of a body that was refused"
    LINGERING = "the client, to close"
    CLOSED = "nothing"


class Answering(ABC):
    """The sending half of a connection. Only the event loop calls its methods, which never block."""

    def __init__(self, worker: Any, sock: socket.socket, peer: Any) -> None:
        sock.setblocking(False)
        self.worker, self.sock, self.peer = worker, sock, peer
        self.send_buffer = SendBuffer(sock)
        self.exchange: Exchange | None = None
        self.allowance: Allowance | None = None
        self.least_rate = LeastRate(0, float("inf"))
        self.spooled = 0
        self.drained = 0
        self.incoming = bytearray()
        self._holds_slot = False
        self.set_phase(AnswerPhase.IDLE)

    def set_phase(self, phase: AnswerPhase) -> None:
        """Set what the connection waits for from now on."""
        self.phase = phase
        self.since = time.monotonic()

    @property
    def body(self) -> Body:
        """The body of the current request. The request must have one."""
        assert self.exchange
        assert self.exchange.body
        return self.exchange.body

    def writable(self) -> None:
        """Send more of the answer."""
        try:
            if self.send_buffer.flush():
                self._sent()
        except OSError:
            self.close()

    @abstractmethod
    def next_request(self) -> None:
        """Begin to read the next request."""

    def start(self) -> None:
        """Run the application with a slot, which the caller has taken."""
        self._holds_slot = True
        self.run()

    def run(self, busy: bool = False) -> None:
        """Run the application. With `busy` it answers 503, because no slot or no space was free."""
        assert self.exchange
        self.worker.listen(self, reading=False)
        self.set_phase(AnswerPhase.RUNNING)
        body = self.exchange.body
        if body and body.whole and body.chunks:
            # Known now, it tells a form that is refused for its parts from one that is too large.
            self.exchange.environ["CONTENT_LENGTH"] = str(body.received)
            self.exchange.environ.pop("HTTP_TRANSFER_ENCODING", None)
        if busy:
            self.exchange.environ["api.too_busy"] = True
            self.body.missing = self.body.missing or RequestEntityTooLarge()
        self.exchange.environ["api.free_slot"] = partial(self.worker.post, self.free_slot)
        self.worker.run_in_thread(self, self.exchange.run, self._ran)

    def free_slot(self) -> None:
        """Give the slot back. The application no longer needs the body, or has answered."""
        if self._holds_slot:
            self._holds_slot = False
            self.worker.free(self.allowance)

    def refuse(self, status: int, reason: str) -> None:
        """Answer a request that cannot be read, and close."""
        line = f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        self.send_buffer.sendall(line.encode())
        self.end_with_this()

    def end_with_this(self) -> None:
        """Send the rest of the answer, and then close."""
        self.set_phase(AnswerPhase.SENDING)
        self.least_rate = LeastRate(0, _REFUSAL_SECONDS)
        self.worker.listen(self, reading=False, writing=True)

    def close(self) -> None:
        """Close the socket at once, and free what the answer uses."""
        if self.phase is AnswerPhase.CLOSED:
            return
        self.worker.listen(self, reading=False)
        exchange, self.exchange = self.exchange, None
        if exchange and not exchange.finished:
            self.worker.pool.submit(exchange.abandon)
        self._forget_body()
        self.send_buffer.close()
        self.sock.close()
        self.set_phase(AnswerPhase.CLOSED)
        self.worker.forget(self)

    def _ran(self, _: None) -> None:
        assert self.exchange
        self.free_slot()
        if self.exchange.finished:
            self._forget_body()
        self.set_phase(AnswerPhase.SENDING)
        self.least_rate = LeastRate(self.worker.body_limits.settings.least_rate, float("inf"))
        self.writable()
        if self.phase is AnswerPhase.SENDING:
            self.worker.listen(self, reading=False, writing=True)

    def _sent(self) -> None:
        """Continue after all waiting bytes were sent."""
        exchange = self.exchange
        self.worker.listen(self, reading=False)
        if exchange and not exchange.finished:
            self.set_phase(AnswerPhase.RUNNING)
            self.worker.run_in_thread(self, exchange.go_on, self._ran)
        elif exchange and exchange.broken:
            self.close()
        elif exchange is None or exchange.closes:
            self._end()
        else:
            self.exchange = None
            self.next_request()

    def _end(self) -> None:
        """Close after the answer. A refused body is skipped first, or many clients lose the answer."""
        exchange = self.exchange
        body = exchange.body if exchange else None
        began = self.incoming or (body and body.received)
        if not (exchange and body and body.refused) or (exchange.expects_continue and not began):
            self.linger()
            return
        settings = self.worker.body_limits.settings
        self.set_phase(AnswerPhase.SKIPPING)
        self.least_rate = LeastRate(settings.least_rate, settings.body_seconds)
        self.worker.listen(self)
        self.skip(b"")

    def skip(self, data: bytes) -> None:
        """Skip more of a refused body, up to the size of the largest allowed body."""
        self.incoming += data
        try:
            ended = self.body.skip(bytes(self.incoming))
        except ParseException:
            ended = True
        self.incoming.clear()
        if ended or self.body.received > self.worker.body_limits.settings.max_study_bytes:
            self.linger()

    def linger(self) -> None:
        """Close the sending half, and skip the rest: a close with unread bytes would cut the answer off."""
        self.drained = len(self.incoming)
        self.incoming.clear()
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.close()
            return
        self.set_phase(AnswerPhase.LINGERING)
        self.worker.listen(self)

    def _forget_body(self) -> None:
        spool = self.worker.spool_of(self.allowance) if self.allowance else None
        if spool and self.spooled and self.allowance:
            spool.give(self.allowance.client, self.spooled)
        self.spooled = 0
