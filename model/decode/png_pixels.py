"""Checks that a PNG file has all of its pixels, without computing them, which takes most of the time."""

import struct
import zlib
from collections.abc import Sequence

from model.decode.headers.png import chunks

_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
"""Samples of a pixel by colour type: gray, RGB, gray with alpha, RGBA."""
_DEPTHS = (8, 16)
_FILTERS = range(5)
_FED = 2**14
"""Bytes that are inflated at once: what zlib does not take yet, it copies."""
_PIECE = 2**18
"""Most bytes that are held at once."""


def are_complete(data: bytes) -> bool:
    """Return whether a PNG file has the common form, and its pixels inflate to the size in its header.

    The common form is a header, pixels and an end, with 8 or 16 bits a sample, neither a palette nor
    interlacing. Of any other file False says nothing: it has to be decoded.
    """
    found = []
    for kind, chunk in chunks(data):
        found.append((kind, chunk[8:-4]))
        if kind == b"IEND":
            break
    pixels = [body for _, body in found[1:-1]]
    if [kind for kind, _ in found] != [b"IHDR", *[b"IDAT"] * len(pixels), b"IEND"]:
        return False
    header = found[0][1]
    if len(header) != _HEADER.size:
        return False
    width, height, depth, colour, *methods = _HEADER.unpack(header)
    if depth not in _DEPTHS or colour not in _CHANNELS or any(methods):
        return False
    row = 1 + width * _CHANNELS[colour] * depth // 8
    try:
        return _inflated(pixels, row, row * height) == row * height
    except zlib.error:
        return False


def _inflated(bodies: Sequence[memoryview], row: int, most: int) -> int | None:
    """Count the inflated bytes. Return None for more than `most`, an unknown filter or no end, or more."""
    stream, count = zlib.decompressobj(), 0
    for body in bodies:
        for start in range(0, len(body), _FED):
            if stream.eof:  # zlib would keep what follows, and copy it with each further chunk.
                return None
            fed: memoryview | bytes = body[start : start + _FED]
            while piece := stream.decompress(fed, _PIECE):
                # Each row begins with the number of its filter.
                filters = piece[-count % row :: row]
                count += len(piece)
                if count > most or max(filters, default=0) not in _FILTERS:
                    return None
                fed = stream.unconsumed_tail
    return count if stream.eof and not stream.unused_data else None
