"""Stores the body of a request as it arrives, in memory while it is small, for the application to read."""

import io
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import Any

from gunicorn.http.body import ChunkedReader
from gunicorn.http.errors import NoMoreData
from gunicorn.http.message import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.server.chunked_coding import Chunks

IN_MEMORY = 1024 * 1024
"""Bytes above which a body goes into a temporary file."""


def has_body(request: Request) -> bool:
    """Return whether the request has a body."""
    reader = request.body.reader
    return isinstance(reader, ChunkedReader) or reader.length > 0


class Body(io.RawIOBase):
    """The body of `request`. The application reads it once it has `ended`.

    A read after the last byte of an incomplete body raises `missing`, the reason.
    """

    def __init__(self, request: Request) -> None:
        reader = request.body.reader
        self.chunks = Chunks() if isinstance(reader, ChunkedReader) else None
        self.declared = None if self.chunks else int(reader.length)
        self.received = 0
        self.ended = False
        self.missing: Exception | None = None
        self._beyond = 0
        self._kept: Any = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed with this
        if self.declared == 0:
            self._end()

    @property
    def whole(self) -> bool:
        """Whether the body is complete, so that the next request follows on the connection."""
        return self.ended and self.missing is None

    def take(self, data: bytes, most: int) -> bytes:
        """Store the part of `data` that belongs to the body, and return the rest. Give up above `most` bytes.

        Raises InvalidChunkSize, and OSError where the disk has no space.
        """
        for piece in self._pieces(data):
            self.received += len(piece)
            if self.received > most:
                self.give_up(RequestEntityTooLarge())
                return b""
            self._kept.write(piece)
        if self.chunks:
            if not self.chunks.whole:
                return b""
            self._end()
            return self.chunks.rest()
        if self.received < (self.declared or 0):
            return b""
        self._end()
        return data[len(data) - self._beyond :]

    def give_up(self, missing: Exception) -> None:
        """Store no more of the body. A read of the rest raises `missing`."""
        self.missing = missing
        self._end()

    @property
    def refused(self) -> bool:
        """Whether it was given up while the client may continue to send it."""
        return isinstance(self.missing, RequestEntityTooLarge)

    def skip(self, data: bytes) -> bool:
        """Skip more of a body that was given up. Returns True at its end. Raises InvalidChunkSize."""
        self.received += sum(map(len, self._pieces(data)))
        return self.chunks.whole if self.chunks else self.received >= (self.declared or 0)

    def cut(self) -> None:
        """Give up, because the client has closed the connection before the end."""
        self.give_up(NoMoreData())

    def readable(self) -> bool:
        """Return True: a body can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`. Returns 0 at the end, or raises `missing` if the body is incomplete."""
        count = int(self._kept.readinto(buffer))
        if count == 0 and len(buffer) and self.missing:
            raise self.missing
        return count

    def close(self) -> None:
        """Delete the stored bytes."""
        self._kept.close()
        super().close()

    def _pieces(self, data: bytes) -> Iterator[bytes]:
        if self.chunks:
            return self.chunks.decode(data)
        own = data[: (self.declared or 0) - self.received]
        self._beyond = len(data) - len(own)
        return iter((own,))

    def _end(self) -> None:
        self.ended = True
        self._kept.seek(0)
