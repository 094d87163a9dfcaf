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
    """A stream whose pieces never end inside a boundary: the next piece begins with the boundary then."""

    def __init__(self, stream: IO[bytes], boundary: bytes) -> None:
        self._stream = stream
        self._start = b"\r\n--" + boundary
        self._longest = len(boundary) + _AROUND
        self._held = b""

    def read(self, size: int) -> bytes:
        """Read the next piece: about `size` bytes, and none at the end."""
        while read := self._stream.read(size):
            piece = self._held + read
            cut = self._end_of(piece)
            self._held = piece[cut:]
            if cut:
                return piece[:cut]
        piece, self._held = self._held, b""
        return piece

    def _end_of(self, piece: bytes) -> int:
        """Return where a boundary begins that may not be whole yet; else the length of the piece."""
        place = piece.find(b"\r", max(0, len(piece) - self._longest + 1))
        while place >= 0:
            begun = piece[place : place + len(self._start)]
            if self._start.startswith(begun):
                return place
            place = piece.find(b"\r", place + 1)
        return len(piece)


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
