"""Reads the first directory of a TIFF file, or of EXIF data, which has the same form: sizes, no values."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from model.errors import BrokenImage

MOST_TAGS = 512
MOST_VALUES = 20_000
"""Numbers under one tag. An image of 50 million pixels in tiles of 64 a side has 12,200 of them."""
_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1)) | dict.fromkeys((16, 17, 18), 8)
"""Bytes of a value of each type; of other types nothing is read."""
_BYTES = frozenset({1, 2, 6, 7})
"""Types that are read as one piece, however many they are."""
_OFFSETS = frozenset({273, 279, 324, 325})
"""Where strips and tiles lie, and their sizes: always read one by one."""
_ADVICE = "Save it anew as a plain TIFF of one page, or as PNG, and send it again."


@dataclass(frozen=True)
class _Layout:
    """How the two kinds of TIFF write a directory: structs of its count, an entry and an offset."""

    count: str
    entry: str
    offset: str

    @property
    def inline(self) -> int:
        """Bytes of values that stand in the entry itself."""
        return struct.calcsize("<" + self.offset)


_CLASSIC, _BIG = _Layout("H", "HHI4x", "I"), _Layout("Q", "HHQ8x", "Q")


def check_pages(data: bytes) -> None:
    """Raise BrokenImage for a TIFF file of several pages, and as read_directory does."""
    if read_directory(data):
        raise BrokenImage("The TIFF file holds several pages. Send each X-ray as its own job.")


def read_directory(data: bytes) -> int:
    """The offset of the next directory, 0 for none.

    Raises BrokenImage for more tags or values than a radiograph has, and for values that together are larger
    than `data`, as several may stand in the same place. Where a directory breaks off, the decoder says so: 0.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return 0
    big = data[2:4] in (b"+\0", b"\0+")
    layout, first = (_BIG, 8) if big else (_CLASSIC, 4)
    try:
        (at,) = struct.unpack_from(order + layout.offset, data, first)
        (tags,) = struct.unpack_from(order + layout.count, data, at)
        if tags > MOST_TAGS:
            raise BrokenImage(f"The image's directory has more than {MOST_TAGS} tags. {_ADVICE}")
        at += struct.calcsize(order + layout.count)
        size = 0
        for _ in range(tags):
            tag, kind, count = struct.unpack_from(order + layout.entry, data, at)
            at += struct.calcsize(order + layout.entry)
            if count > MOST_VALUES and (tag in _OFFSETS or kind not in _BYTES):
                raise BrokenImage(f"The image has over {MOST_VALUES:,} strips, tiles or values. {_ADVICE}")
            value = count * _SIZES.get(kind, 0)
            size += value if value > layout.inline else 0
            if size > len(data):
                raise BrokenImage(f"The image's tags declare more bytes than it has. {_ADVICE}")
        return int(struct.unpack_from(order + layout.offset, data, at)[0])
    except struct.error:
        return 0
