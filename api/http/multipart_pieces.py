"""Reads the body of a multipart message in pieces, for python-multipart's parser."""

from collections.abc import Iterator
from typing import Protocol

PIECE = 64 * 1024


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


def pieces_of(stream: _Stream, boundary: bytes) -> Iterator[bytes]:
    """Read `stream` from its first boundary on. Raises ValueError where the boundary is nowhere in it.

    Text before the first boundary is not part of the content (RFC 2046, 5.1.1).
    """
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
