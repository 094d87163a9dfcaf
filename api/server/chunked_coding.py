"""Decodes the chunked transfer coding as it arrives (RFC 9112, section 7.1)."""

import re
from collections.abc import Iterator

from gunicorn.http.body import CHUNK_EXT_RE
from gunicorn.http.errors import InvalidChunkSize

SIZE = re.compile(rb"([0-9a-fA-F]{1,15})(" + CHUNK_EXT_RE.pattern + rb")")
_LONGEST_LINE = 8190
_OVERHEAD = 64 * 1024
SHARE = 8
"""The lines around the chunks may have 64 KiB, and one byte for every 8 of the body: each line costs time."""


class Chunks:
    """The decoder of one body. It ignores the trailers."""

    def __init__(self) -> None:
        self.whole = False
        self._waiting = bytearray()
        self._left = 0
        self._state = "size"
        self._lines = self._decoded = 0

    def decode(self, data: bytes) -> Iterator[bytes]:
        """Return the pieces of the body in `data`. Raises InvalidChunkSize for malformed chunks."""
        self._waiting += data
        while not self.whole:
            if self._state == "data":
                piece = bytes(self._waiting[: self._left])
                if not piece:
                    return
                del self._waiting[: len(piece)]
                self._left -= len(piece)
                self._decoded += len(piece)
                if not self._left:
                    self._state = "end of data"
                yield piece
            elif (line := self._line()) is None:
                return
            else:
                self._take(line)

    def rest(self) -> bytes:
        """Return the bytes after the end of the body."""
        return bytes(self._waiting)

    def _line(self) -> bytes | None:
        end = self._waiting.find(b"\r\n")
        if end < 0:
            if len(self._waiting) > _LONGEST_LINE:
                raise InvalidChunkSize(b"a line without an end")
            return None
        line = bytes(self._waiting[:end])
        del self._waiting[: end + 2]
        self._lines += end + 2
        if self._lines > _OVERHEAD + self._decoded / SHARE:
            raise InvalidChunkSize(b"more lines than data")
        return line

    def _take(self, line: bytes) -> None:
        if self._state == "size":
            size = SIZE.fullmatch(line)
            if not size:
                raise InvalidChunkSize(line[:100])
            self._left = int(size[1], 16)
            self._state = "data" if self._left else "trailers"
        elif self._state == "end of data":
            if line:
                raise InvalidChunkSize(b"data beyond the chunk")
            self._state = "size"
        elif b"\n" in line or b"\r" in line:
            raise InvalidChunkSize(b"a bare line break in a trailer")
        else:
            self.whole = not line
