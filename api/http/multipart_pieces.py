"""Reads the body of a multipart message in pieces, by python-multipart's parser."""

import logging
from collections.abc import Iterator
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import BOUNDARY_PADDING, MultipartParser

PIECE = 64 * 1024
_MOST_PADDING = 1_000
"""Blanks behind a boundary. RFC 2046 allows any number of them; clients write none."""
_MOST_BOUNDARIES = 10_000
"""Lines of one body that begin with the boundary. Each is a part, or ends the last one (RFC 2046, 5.1.1)."""


class BoundedParser(MultipartParser):
    """Python-multipart's parser, with a limit on what it goes through byte by byte.

    A megabyte of that takes up to half a second.
    """

    _boundaries = 0

    def write(self, data: bytes) -> int:
        """Parse `data` as MultipartParser does. Raises FormParserError over a limit, too."""
        self._boundaries += data.count(self.boundary)
        if self._boundaries > _MOST_BOUNDARIES:
            raise FormParserError("too many lines begin with the boundary")
        written = super().write(data)
        end = data[-_MOST_PADDING:]
        if self.state is BOUNDARY_PADDING and len(end) == _MOST_PADDING and not end.strip(b" \t"):
            raise FormParserError("too many blanks are behind a boundary")
        return written


def silence_multipart() -> None:
    """Keep python-multipart's warnings out of the log: they have bytes that a client sent."""
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def pieces_of(stream: _Stream, boundary: bytes) -> Iterator[bytes]:
    """Read `stream` from its first boundary on. Raises ValueError without a boundary, or with none in it.

    Text before the first boundary is not part of the content (RFC 2046, 5.1.1).
    """
    if not boundary:
        raise ValueError("the boundary is empty")
    begun, before = False, b"\r\n"
    while piece := stream.read(PIECE):
        if not begun:
            text, found, rest = (before + piece).partition(b"\r\n--" + boundary)
            begun, before = bool(found), text[-len(boundary) - 4 :]
            piece = b"--" + boundary + rest
        if begun:
            yield piece
    if not begun:
        raise ValueError("the boundary is nowhere in the body")
