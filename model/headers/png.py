"""Counts the chunks of a PNG file without reading them."""

from __future__ import annotations

from model.errors import BrokenImage

MOST_CHUNKS = 20_000
"""Some encoders write a chunk for every 4 KB of pixels."""
_SIGNATURE, _FRAME = 8, 12
"""Bytes before the first chunk, and of a chunk beside its data."""


def check_png(data: bytes) -> None:
    """Raise BrokenImage for more chunks than a radiograph has; where they break off, the decoder says so."""
    at, end = _SIGNATURE, len(data) - _FRAME
    for _ in range(MOST_CHUNKS):
        if at > end:
            return
        at += _FRAME + int.from_bytes(data[at : at + 4], "big")
    raise BrokenImage(f"The PNG image has more than {MOST_CHUNKS:,} chunks. Save it anew and send it again.")
