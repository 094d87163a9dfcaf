"""Reads the first directory of a TIFF file, or of EXIF data, which has the same form: sizes, no values."""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from model.errors import BrokenImage

_MOST_TAGS = 512
_MOST_VALUES = 20_000
"""Numbers under one tag. An image of 50 million pixels in tiles of 64 a side has 12,200 of them."""
_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), start=1)) | dict.fromkeys((16, 17, 18), 8)
"""Bytes of a value of each type; of other types nothing is read."""
_BYTES = frozenset({1, 2, 6, 7})
"""Types that are read as one piece, however many they are."""
_OFFSETS = frozenset({273, 279, 324, 325})
"""Where strips and tiles lie, and their sizes: always read one by one."""
_MOST_PAGES = 16
_SUBFILE, _REDUCED_OR_MASK = 254, 0b101
_OLD_SUBFILE, _OLD_REDUCED = 255, 2
_SHORT = 3
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


class Directory(NamedTuple):
    """What a directory says: where the next one lies, 0 for none; whether it is a preview or a mask."""

    next: int
    is_beside: bool


def find_page(data: bytes) -> int:
    """Find the one page of a TIFF file that is a picture: others may be reduced copies or masks of it.

    Raises BrokenImage for several pictures, and as read_directory does.
    """
    pictures, at = [], None
    for page in range(_MOST_PAGES):
        directory = read_directory(data, at)
        if not directory.is_beside:
            pictures.append(page)
        at = directory.next
        if not at:
            break
    if at or len(pictures) > 1:
        raise BrokenImage("The TIFF file holds several pages. Send each X-ray as its own job.")
    return pictures[0] if pictures else 0


def read_directory(data: bytes, at: int | None = None) -> Directory:
    """Read the directory at an offset, by default the first one.

    Raises BrokenImage for more tags or values than a radiograph has, and for values that together are larger
    than `data`, as several may stand in the same place. Where a directory breaks off, the decoder says so:
    there is no next one.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None:
        return _LAST
    big = data[2:4] in (b"+\0", b"\0+")
    layout, first = (_BIG, 8) if big else (_CLASSIC, 4)
    try:
        if at is None:
            (at,) = struct.unpack_from(order + layout.offset, data, first)
        (tags,) = struct.unpack_from(order + layout.count, data, at)
        if tags > _MOST_TAGS:
            raise BrokenImage(f"The image's directory has more than {_MOST_TAGS} tags. {_ADVICE}")
        at += struct.calcsize(order + layout.count)
        size, is_beside = 0, False
        for _ in range(tags):
            tag, kind, count = struct.unpack_from(order + layout.entry, data, at)
            at += struct.calcsize(order + layout.entry)
            if tag in (_SUBFILE, _OLD_SUBFILE):
                value_at = at - layout.inline
                (given,) = struct.unpack_from(order + ("H" if kind == _SHORT else "I"), data, value_at)
                is_beside = given == _OLD_REDUCED if tag == _OLD_SUBFILE else bool(given & _REDUCED_OR_MASK)
            if count > _MOST_VALUES and (tag in _OFFSETS or kind not in _BYTES):
                raise BrokenImage(f"The image has over {_MOST_VALUES:,} strips, tiles or values. {_ADVICE}")
            value = count * _SIZES.get(kind, 0)
            size += value if value > layout.inline else 0
            if size > len(data):
                raise BrokenImage(f"The image's tags declare more bytes than it has. {_ADVICE}")
        return Directory(int(struct.unpack_from(order + layout.offset, data, at)[0]), is_beside)
    except struct.error:
        return _LAST


_LAST = Directory(0, False)
