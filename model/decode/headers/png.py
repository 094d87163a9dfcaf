"""Counts the chunks of a PNG file without reading them."""

from model.errors import BrokenImage

_MOST_CHUNKS = 20_000
"""Some encoders write a chunk for every 4 KB of pixels."""
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_EXIF_TEXT = b"Raw profile type exif\0"
_SIGNATURE, _FRAME = 8, 12
"""Bytes before the first chunk, and of a chunk beside its data."""


def check_png(data: bytes) -> None:
    """Raise BrokenImage for more chunks than a radiograph has; where they break off, the decoder says so."""
    at, end = _SIGNATURE, len(data) - _FRAME
    for _ in range(_MOST_CHUNKS):
        if at > end:
            return
        at += _FRAME + int.from_bytes(data[at : at + 4], "big")
    raise BrokenImage(f"The PNG image has more than {_MOST_CHUNKS:,} chunks. Save it anew and send it again.")


def drop_notes(data: bytes) -> bytes:
    """Leave out the chunks that no pixel depends on, such as a colour profile of megabytes.

    Pillow refuses large ones. The text chunk in which ImageMagick writes EXIF data stays.
    """
    kept, at, end = [data[:_SIGNATURE]], _SIGNATURE, len(data) - _FRAME
    while at <= end:
        after = at + _FRAME + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if kind in _PIXELS or (kind in _TEXTS and data.startswith(_EXIF_TEXT, at + 8)):
            kept.append(data[at:after])
        at = after
    return b"".join([*kept, data[at:]])
