"""The body of a request: kept as it arrives, in memory while it is small, and read later."""

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
"""Bytes of a body beyond which it goes into a file in the folder for temporary files."""


def has_body(request: Request) -> bool:
    """Whether a body comes behind this request's head."""
    reader = request.body.reader
    return isinstance(reader, ChunkedReader) or reader.length > 0


class Body(io.RawIOBase):
    """The body of `request`. `end` is None while more is to come.

    The application reads it once it has ended; where it is not whole, reading beyond what came raises why.
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
        """Whether all of it is here, and the connection stands before the next request."""
        return self.ended and self.missing is None

    def take(self, data: bytes, most: int) -> bytes:
        """Keep what is the body's in `data`, give back what is not. It ends early beyond `most` bytes.

        Raises InvalidChunkSize; OSError where there is no room for it.
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
        """Take no more of it; `missing` is what the application gets for the rest."""
        self.missing = missing
        self._end()

    @property
    def refused(self) -> bool:
        """Whether it was given up while the client may go on sending it."""
        return isinstance(self.missing, RequestEntityTooLarge)

    def skip(self, data: bytes) -> bool:
        """Read over more of it once it was given up; True at its end. Raises InvalidChunkSize."""
        self.received += sum(map(len, self._pieces(data)))
        return self.chunks.whole if self.chunks else self.received >= (self.declared or 0)

    def cut(self) -> None:
        """Note that the client has closed before its end."""
        self.give_up(NoMoreData())

    def readable(self) -> bool:
        """Whether it can be read: always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read into `buffer`; 0 at the end of a whole body. Raises what is missing."""
        count = int(self._kept.readinto(buffer))
        if count == 0 and len(buffer) and self.missing:
            raise self.missing
        return count

    def close(self) -> None:
        """Let go of what is kept."""
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
