"""Lists the chunks of a PNG file without reading them."""

from collections.abc import Iterator

from model.errors import BrokenImage

_MOST_CHUNKS = 20_000
"""Some encoders write a chunk for every 4 KB of pixels."""
_PIXELS = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf", b"acTL", b"fcTL", b"fdAT"})
_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt"})
_EXIF_TEXT = b"Raw profile type exif\0"
_SIGNATURE, _FRAME = 8, 12
"""Bytes before the first chunk, and of a chunk beside its body."""


def chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield kind and all bytes of each chunk: size, kind, body, checksum. The last may be cut off."""
    view, at = memoryview(data), _SIGNATURE
    while at <= len(data) - _FRAME:
        after = at + _FRAME + int.from_bytes(data[at : at + 4], "big")
        yield data[at + 4 : at + 8], view[at:after]
        at = after


def check_png(data: bytes) -> None:
    """Raise BrokenImage for more chunks than a radiograph has; where they break off, the decoder says so."""
    if any(number >= _MOST_CHUNKS for number, _ in enumerate(chunks(data))):
        raise BrokenImage(
            f"The PNG image has more than {_MOST_CHUNKS:,} chunks. Save it anew and send it again."
        )


def drop_notes(data: bytes) -> bytes:
    """Leave out the chunks that no pixel depends on, such as a colour profile of megabytes.

    Pillow refuses large ones. The text chunk in which ImageMagick writes EXIF data stays, and so does what is
    too short for a chunk at the end.
    """
    kept, end = [memoryview(data)[:_SIGNATURE]], _SIGNATURE
    for kind, chunk in chunks(data):
        end += len(chunk)
        if kind in _PIXELS or (kind in _TEXTS and chunk[8 : 8 + len(_EXIF_TEXT)] == _EXIF_TEXT):
            kept.append(chunk)
    return b"".join([*kept, memoryview(data)[end:]])
