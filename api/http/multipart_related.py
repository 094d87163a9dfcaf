"""Reads a multipart/related body part by part as it arrives, with one part in memory at a time."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flask import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import BOUNDARY_PADDING, MultipartParser, parse_options_header

from api.http.problem import Problem
from api.http.problem_kinds import Slug

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

CHUNK = 64 * 1024
_MOST_PADDING = 1_000
"""Blanks behind a boundary. RFC 2046 allows any number of them; clients write none."""
_MOST_BOUNDARIES = 10_000
"""Boundaries in one body. Each begins a part, or ends the last one."""


@dataclass
class MultipartPart:
    """One part: its media type, and its bytes, or None for a part over the limit."""

    media_type: str = ""
    data: bytearray | None = field(default_factory=bytearray)


class TooManyParts(Exception):
    """The body has more parts than the limit. The rest of it is not parsed."""


def related_parameters(request: Request) -> dict[str, str]:
    """Read the parameters of a Content-Type. Werkzeug cuts one without quotes at its first slash."""
    _, parameters = parse_options_header(request.headers.get("Content-Type", ""))
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in parameters.items()}


def related_parts(request: Request, most_bytes: int, most_parts: int) -> Iterator[MultipartPart]:
    """Read the first `most_parts` parts of `request`, with at most `most_bytes` bytes each.

    Raises TooManyParts after them where another part begins, and Problem 400 for a malformed body. werkzeug
    raises RequestEntityTooLarge for a body over the limit, and ClientDisconnected for an incomplete one.
    """
    boundary = related_parameters(request).get("boundary", "").encode("latin-1")
    reader = _Reader(most_bytes, most_parts)
    try:
        parser = _BoundedParser(boundary, reader.callbacks())
        begun, before = False, b"\r\n"
        while chunk := request.stream.read(CHUNK):
            if not begun:
                # Text before the first boundary is not part of the content (RFC 2046, 5.1.1).
                text, found, rest = (before + chunk).partition(b"\r\n--" + boundary)
                begun, before = bool(found), text[-len(boundary) - 4 :]
                chunk = b"--" + boundary + rest
            if not begun:
                continue
            parser.write(chunk)
            yield from reader.taken()
    except TooManyParts:
        yield from reader.taken()
        raise
    except ValueError as error:
        raise Problem(Slug.MALFORMED, "The multipart body is malformed; check its boundary.") from error
    if not begun:
        raise Problem(Slug.MALFORMED, "The multipart body is malformed: its boundary is nowhere in it.")
    if not reader.ended:
        raise Problem(Slug.MALFORMED, "The multipart body ends before its last boundary. Send it again.")


def silence_multipart() -> None:
    """Keep python-multipart's warnings out of the log: they have bytes that a client sent."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


class _BoundedParser(MultipartParser):
    """Python-multipart's parser, with a limit on what it goes through byte by byte.

    A megabyte of that takes up to half a second.
    """

    _boundaries = 0

    def write(self, data: bytes) -> int:
        """Parse `data` as MultipartParser does. Raises FormParserError over a limit, too."""
        self._boundaries += data.count(self.boundary)
        if self._boundaries > _MOST_BOUNDARIES:
            raise FormParserError("too many boundaries")
        written = super().write(data)
        end = data[-_MOST_PADDING:]
        if self.state is BOUNDARY_PADDING and len(end) == _MOST_PADDING and not end.strip(b" \t"):
            raise FormParserError("too many blanks are behind a boundary")
        return written


class _Reader:
    def __init__(self, most_bytes: int, most_parts: int) -> None:
        self.ended = False
        self._most_bytes = most_bytes
        self._left = most_parts
        self._part = MultipartPart()
        self._whole: list[MultipartPart] = []
        self._header = [b"", b""]

    def callbacks(self) -> "MultipartCallbacks":
        """Return the functions that python-multipart calls."""
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._head(0, data[start:end]),
            "on_header_value": lambda data, start, end: self._head(1, data[start:end]),
            "on_header_end": self._end_header,
            "on_part_data": self._keep,
            "on_part_end": lambda: self._whole.append(self._part),
            "on_end": self._end,
        }

    def taken(self) -> Iterator[MultipartPart]:
        """Take the parts that were completed since the last call."""
        while self._whole:
            yield self._whole.pop(0)

    def _begin(self) -> None:
        if not self._left:
            raise TooManyParts
        self._left -= 1
        self._part = MultipartPart()

    def _head(self, which: int, piece: bytes) -> None:
        self._header[which] += piece

    def _end_header(self) -> None:
        name, value = self._header
        if name.lower() == b"content-type":
            self._part.media_type = value.partition(b";")[0].strip().lower().decode("latin-1")
        self._header = [b"", b""]

    def _keep(self, data: bytes, start: int, end: int) -> None:
        if self._part.data is None or len(self._part.data) + end - start > self._most_bytes:
            self._part.data = None
        else:
            self._part.data += data[start:end]

    def _end(self) -> None:
        self.ended = True
