"""Runs the application for one request in a thread, which never waits for the client."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from io import BytesIO
from typing import Any

from gunicorn.http import wsgi
from gunicorn.http.message import Request

from api.server.body import Body
from api.server.send_buffer import SendBuffer

log = logging.getLogger(__name__)


class Exchange:
    """One request and its answer. `worker` is the process, `peer` and `own` are the two addresses."""

    def __init__(self, worker: Any, request: Request, send_buffer: SendBuffer, peer: Any, own: Any) -> None:
        self.worker = worker
        self.request = request
        self.send_buffer = send_buffer
        self.body: Body | None = None
        self.broken = False
        self.finished = False
        self.expects_continue = request._expected_100_continue
        # The event loop sends `100 Continue` once it reads the body; gunicorn would send it here.
        request._expected_100_continue = False
        self.response, self.environ = wsgi.create(request, send_buffer, peer, own, worker.cfg)
        self.environ["wsgi.multithread"] = True
        self._pieces: Any = None
        self._iterator: Iterator[bytes] = iter(())
        self._began = datetime.now()

    @property
    def closes(self) -> bool:
        """Whether the connection is closed after this answer."""
        return self.broken or bool(self.response.should_close())

    def run(self) -> None:
        """Run the application, and send as much of its answer as the client takes."""
        self.environ["wsgi.input"] = self.body or BytesIO()
        if (self.body and not self.body.whole) or not self.worker.alive:
            self.response.force_close()
        try:
            self._pieces = self.worker.wsgi(self.environ, self.response.start_response)
            self._iterator = iter(self._pieces)
            self._send()
        except Exception as error:
            self._break(error)

    def go_on(self) -> None:
        """Send more of the answer, after the client has taken the previous part."""
        try:
            self._send()
        except Exception as error:
            self._break(error)

    def abandon(self) -> None:
        """End without the rest of the answer, because the client has closed or reads too slowly."""
        self.broken = True
        self._finish()

    def _send(self) -> None:
        response = self.response
        for piece in self._iterator:
            response.write(piece)
            if self.request.method == "HEAD" or self._all_written():
                break  # The application's copy of the answer is freed while the client reads.
            if not self.send_buffer.flush():
                return
        response.close()
        self._finish()
        self.send_buffer.flush()

    def _all_written(self) -> bool:
        length = self.response.response_length
        return length is not None and self.response.sent >= length

    def _break(self, error: Exception) -> None:
        if not isinstance(error, OSError):
            log.exception("an answer broke", exc_info=error)
        self.abandon()

    def _finish(self) -> None:
        if self.finished:
            return
        self.finished = True
        with suppress(Exception):
            if hasattr(self._pieces, "close"):
                self._pieces.close()
        self._pieces, self._iterator = None, iter(())
        if self.body:
            self.body.close()
        if self.response.status is not None:
            self.worker.log.access(self.response, self.request, self.environ, datetime.now() - self._began)
