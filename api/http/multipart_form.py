"""Reads forms in pieces that never end inside a boundary, which works around an error of werkzeug.

Werkzeug's issue 3285: if a piece ends inside the closing boundary, the carriage return before the boundary
becomes part of the file. This module can go when that is corrected.
"""

from typing import IO, Any

from flask import Request
from werkzeug.formparser import FormDataParser

_AROUND = len(b"\r\n----\r\n")
"""The most characters around the name of a boundary."""


class Uncut:
    """A stream whose pieces never end inside a boundary. Some pieces are longer than asked for."""

    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._start = b"\r\n--" + boundary
        self._longest = len(boundary) + _AROUND

    def read(self, size: int) -> bytes:
        """Read the next piece: `size` bytes, and more where a boundary begins in them."""
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
    """Werkzeug's parser of forms, over an Uncut stream."""

    def parse(self, stream: IO[bytes], mimetype: str, content_length: int | None, options: Any = None) -> Any:
        """Parse a form as FormDataParser does."""
        if mimetype == "multipart/form-data":
            boundary = (options or {}).get("boundary", "").encode("ascii", "replace")
            stream = Uncut(stream, boundary)  # type: ignore[assignment]
        return super().parse(stream, mimetype, content_length, options)


class FormRequest(Request):
    """A request whose form UncutParser reads."""

    form_data_parser_class = UncutParser
