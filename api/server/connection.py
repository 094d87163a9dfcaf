"""Reads the requests of one connection: the head, then the body, and waits for a slot."""

from functools import partial
from typing import Any

from gunicorn.http.errors import NoMoreData, ParseException
from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader
from werkzeug.exceptions import RequestEntityTooLarge, RequestTimeout

from api.intake.body_limits import Allowance
from api.server.answering import LINGER_BYTES, Answering, AnswerPhase
from api.server.body import Body, has_body
from api.server.exchange import Exchange
from api.server.least_rate import LeastRate

AT_ONCE = 64 * 1024
_LONGEST_HEAD = 64 * 1024
_HEAD_SECONDS = 10.0
"""Most seconds from the first byte of a request to the end of its head."""
_QUEUE_SECONDS = 10.0
"""Most seconds that a request with a complete body waits for a slot."""
_LINGER_SECONDS = 2.0
"""Most seconds in which a client may take the end of its last answer."""


class Connection(Answering):
    """The connection of one client. It ends what takes too long."""

    def __init__(self, worker: Any, sock: Any, peer: Any) -> None:
        super().__init__(worker, sock, peer)
        self.served = 0

    def readable(self) -> None:
        """Read what the client has sent."""
        try:
            data = self.sock.recv(AT_ONCE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if self.phase is AnswerPhase.LINGERING:
            self.drained += len(data)
            if not data or self.drained > LINGER_BYTES:
                self.close()
        elif self.phase is AnswerPhase.BODY:
            self._take_body(data)
        elif self.phase is AnswerPhase.SKIPPING and data:
            self.skip(data)
        elif not data:
            self.close()
        else:
            self.incoming += data
            self._look_for_head()

    def expire(self, now: float) -> None:
        """End the current phase if it has taken too long."""
        since, phase = now - self.since, self.phase
        if phase is AnswerPhase.HEAD and since > _HEAD_SECONDS:
            self.refuse(408, "Request Timeout")
        elif phase is AnswerPhase.BODY and self.least_rate.too_slow(now, self.body.received):
            self.body.give_up(RequestTimeout("The body came too slowly. Send it again, faster."))
            self.run()
        elif phase is AnswerPhase.QUEUED and since > _QUEUE_SECONDS:
            assert self.allowance
            self.worker.queues_of(self.allowance).remove(self.allowance.client, self)
            self.run(busy=True)
        elif (
            (phase is AnswerPhase.IDLE and since > self.worker.idle_seconds)
            or (
                phase is AnswerPhase.SENDING
                and self.least_rate.too_slow(now, self.send_buffer.acknowledged())
            )
            or (phase is AnswerPhase.LINGERING and since > _LINGER_SECONDS)
        ):
            self.close()
        elif phase is AnswerPhase.SKIPPING and self.least_rate.too_slow(now, self.body.received):
            self.linger()

    def next_request(self) -> None:
        """Begin to read the next request."""
        self.set_phase(AnswerPhase.IDLE)
        self.worker.listen(self)
        if self.incoming:
            self._look_for_head()

    def _look_for_head(self) -> None:
        end = self.incoming.find(b"\r\n\r\n")
        if end < 0:
            if len(self.incoming) > _LONGEST_HEAD:
                self.refuse(431, "Request Header Fields Too Large")
            elif self.phase is AnswerPhase.IDLE:
                self.set_phase(AnswerPhase.HEAD)
            return
        head = bytes(self.incoming[: end + 4])
        del self.incoming[: end + 4]
        self.worker.listen(self, reading=False)
        self.served += 1
        try:
            request = Request(self.worker.cfg, IterUnreader([head]), self.peer, self.served)
            self.exchange = Exchange(
                self.worker, request, self.send_buffer, self.peer, self.sock.getsockname()
            )
        except (NoMoreData, StopIteration):
            self.close()
        except Exception as error:
            self.worker.handle_error(None, self.send_buffer, self.peer, error)
            self.end_with_this()
        else:
            self.set_phase(AnswerPhase.RUNNING)
            if has_body(request) or request.method in (
                "POST",
                "PUT",
            ):  # Without a body it may need a slot, too.
                self.exchange.body = Body(request)
                ask = partial(self.worker.body_limits, self.exchange.environ.copy())
                self.worker.run_in_thread(self, ask, self._allowed)
            else:
                self.run()

    def _allowed(self, answer: Allowance | Exception | None) -> None:
        assert self.exchange
        allowance = self.allowance = answer if isinstance(answer, Allowance) else None
        if self.body.whole:
            self._end_of_body()
            return
        if isinstance(answer, Exception):
            # The application checks again, and a store may have come back since. The body is dropped.
            self.exchange.environ["api.refused"] = answer
        if allowance is None or (self.body.declared or 0) > allowance.most:
            # The body is not read: the answer of the application does not depend on it.
            self.body.give_up(RequestEntityTooLarge())
            self.run()
            return
        if self.exchange.expects_continue and not self.incoming:
            self.send_buffer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            try:
                self.send_buffer.flush()
            except OSError:  # The client has gone.
                self.close()
                return
        self.set_phase(AnswerPhase.BODY)
        self.least_rate = LeastRate(
            self.worker.body_limits.settings.least_rate, self.worker.body_limits.settings.body_seconds
        )
        self.worker.listen(self)
        if self.incoming:
            data = bytes(self.incoming)
            self.incoming.clear()
            self._take_body(data)

    def _take_body(self, data: bytes) -> None:
        assert self.allowance
        spool = self.worker.spool_of(self.allowance)
        try:
            if not data:
                self.body.cut()
            elif spool is None or spool.take(self.allowance.client, len(data)):
                self.spooled += len(data)
                self.incoming += self.body.take(data, self.allowance.most)
            else:
                self.incoming += data
                self.run(busy=True)
                return
        except ParseException as error:
            self.body.give_up(error)
        except OSError:
            self.run(busy=True)  # The disk for temporary files is full.
            return
        if self.body.ended:
            self._end_of_body()

    def _end_of_body(self) -> None:
        queues = self.worker.queues_of(self.allowance)
        if queues is None or not self.body.whole:
            self.run()
            return
        assert self.allowance
        self.worker.listen(self, reading=False)
        self.set_phase(AnswerPhase.QUEUED)
        queues.add(self.allowance.client, self)
        self.worker.start_next(queues)
