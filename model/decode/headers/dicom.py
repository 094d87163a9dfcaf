"""Counts the elements of a DICOM file, with those in sequences and the fragments of pixels."""

import re
from struct import Struct

from model.errors import BrokenImage

_MOST_ELEMENTS = 10_000
"""A radiograph has some hundred; vendors add private sequences, and some encoders a fragment every 4 KB."""
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
"""VRs with a length of four bytes (PS3.5, table 7.1-1)."""
_VR = re.compile(rb"[A-Z]{2}")
_FIRST_VR, _LAST_VR = b"AA", b"ZZ"
"""pydicom takes all between them for a VR, whether it knows it or not."""
_META, _SYNTAX = 0x0002, (0x0002, 0x0010)
_PARTS = {_META: 1, 0x0000: 2}
"""The part of a file that an element of a group begins: meta information, commands, and else the data set."""
_PIXELS = (0x7FE0, 0x0010)
_ITEM, _ITEM_END, _SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE00D), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF
_BIG_ENDIAN, _DEFLATED = b"1.2.840.10008.1.2.2", b"1.2.840.10008.1.2.1.99"


class _Order:
    """How numbers are written in one byte order."""

    def __init__(self, sign: str) -> None:
        self.tag = Struct(f"{sign}HH")
        self.short, self.long = Struct(f"{sign}H"), Struct(f"{sign}I")
        self.item = self.tag.pack(*_ITEM)


_LITTLE, _BIG = _Order("<"), _Order(">")


def check_elements(data: bytes, at: int) -> None:
    """Raise BrokenImage for more elements than a radiograph has, the first of them `at` this byte.

    A value that begins with an item is counted as a sequence, under any tag: pydicom may do that later.
    Where elements break off or are deflated, nothing more is counted.
    """
    order, syntax, in_pixels = _LITTLE, b"", False
    part, implicit = 0, False
    for _ in range(_MOST_ELEMENTS):
        if len(data) - at < 12:
            return
        tag = order.tag.unpack_from(data, at)
        if tag[0] != _META and order is _LITTLE and syntax in (_BIG_ENDIAN, _DEFLATED):
            if syntax == _DEFLATED:
                return
            order = _BIG
            tag = order.tag.unpack_from(data, at)
        if tag in (_ITEM, _ITEM_END, _SEQUENCE_END):
            # In a sequence the item's elements are next, among pixels its bytes.
            within = order.long.unpack_from(data, at + 4)[0] if in_pixels and tag == _ITEM else 0
            at += 8 + within
            continue
        if (begun := _PARTS.get(tag[0], 3)) > part:
            # As in pydicom, the first element decides for its part: a length may look like a VR.
            # In an explicit part any element may be implicit, though.
            part, implicit = begun, not _VR.match(data, at + 4)
        start, length = _value(data, at, order, implicit)
        if tag == _SYNTAX:
            syntax = data[start : start + length].rstrip(b"\0 ")
        in_pixels = tag == _PIXELS
        nested = length == _UNDEFINED or data.startswith(order.item, start)
        at = start if nested else start + length
    raise BrokenImage(
        f"The DICOM file has more than {_MOST_ELEMENTS:,} elements. Send the image object itself, without "
        "private sequences, or export it as PNG."
    )


def _value(data: bytes, at: int, order: _Order, implicit: bool) -> tuple[int, int]:
    """Find where the value of the element at `at` begins, and its length."""
    kind = data[at + 4 : at + 6]
    if implicit or not _FIRST_VR <= kind <= _LAST_VR:
        return at + 8, order.long.unpack_from(data, at + 4)[0]
    if kind in _LONG:
        return at + 12, order.long.unpack_from(data, at + 8)[0]
    return at + 8, order.short.unpack_from(data, at + 6)[0]
