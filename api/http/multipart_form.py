"""Reads forms so that no piece of the body ends inside a boundary, where werkzeug would add a byte to a file.

The fault is werkzeug's, number 3285: with the edge of a piece inside the closing boundary, the carriage
return before it becomes part of the file. Without that fault this module has no use.
"""

from typing import IO, Any

from flask import Request
from werkzeug.formparser import FormDataParser

_AROUND = len(b"\r\n----\r\n")
"""What stands around the name of a boundary, at most."""


class Uncut:
    """A stream whose pieces end before or behind a boundary; only such a piece is longer than asked for."""

    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._start = b"\r\n--" + boundary
        self._longest = len(boundary) + _AROUND

    def read(self, size: int) -> bytes:
        """The next piece, of `size` bytes and as many more as a boundary needs."""
        piece = self._stream.read(size)
        while self._ends_inside(piece) and (more := self._stream.read(self._longest)):
            piece += more
        return piece

    def _ends_inside(self, piece: bytes) -> bool:
        tail = piece[-(self._longest - 1) :]
        place = tail.find(b"\r")
        while place >= 0:
            begun = tail[place : place + len(self._start)]
            if self._start.startswith(begun):
                return True
            place = tail.find(b"\r", place + 1)
        return False


class UncutParser(FormDataParser):
    """Werkzeug's parser over such a stream."""

    def parse(self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None) -> Any:
        """As its own."""
        boundary = (options or {}).get("boundary", "").encode("ascii", "replace")
        return super().parse(Uncut(stream, boundary), mimetype, content_length, options)  # type: ignore[arg-type]


class FormRequest(Request):
    """A request that is read so."""

    form_data_parser_class = UncutParser
