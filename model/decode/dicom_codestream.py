"""Reads what a compressed frame would decode to from its own header, before `dicom` decodes it.

A decoder allocates what the codestream declares, whatever the file around it says. So both must agree.
"""

import struct
from itertools import pairwise
from typing import NamedTuple

from pydicom import uid

_SOF = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
"""The frame headers of JPEG and JPEG-LS; C4, C8 and CC are something else."""
_J2K_START = b"\xff\x4f\xff\x51"
_RLE_HEADER = 64
_J2K = 0x4F
_SEQUENTIAL, _LOSSLESS, _JPEG_LS, _JPEG_2000 = {0xC0, 0xC1}, {0xC3}, {0xF7}, {_J2K}
_CODINGS = {
    uid.JPEGBaseline8Bit: _SEQUENTIAL,
    uid.JPEGExtended12Bit: _SEQUENTIAL,
    uid.JPEGLossless: _LOSSLESS,
    uid.JPEGLosslessSV1: _LOSSLESS,
    uid.JPEGLSLossless: _JPEG_LS,
    uid.JPEGLSNearLossless: _JPEG_LS,
    uid.JPEG2000Lossless: _JPEG_2000,
    uid.JPEG2000: _JPEG_2000,
}
"""The frame headers that each transfer syntax has (PS3.5, 8.2)."""


class Shape(NamedTuple):
    """What a codestream declares: the marker of its frame header, sizes in pixels, bits of one sample.

    `subsampled` says that some samples are stored at a lower resolution, as the colours beside a brightness.
    """

    coding: int
    width: int
    height: int
    samples: int
    bits: int
    subsampled: bool = False

    def is_of(self, syntax: str) -> bool:
        """Whether the transfer syntax has such codestreams: a decoder is chosen by what it names."""
        return self.coding in _CODINGS.get(syntax, ())

    @property
    def has_scans(self) -> bool:
        """Whether it is a JPEG codestream, whose pixels may come in any number of scans."""
        return self.coding in _SEQUENTIAL | _LOSSLESS


def shape_of(frame: bytes) -> Shape:
    """Read the shape that a JPEG, JPEG-LS or JPEG 2000 codestream declares.

    Raises ValueError and struct.error.
    """
    if frame.startswith(_J2K_START):
        right, bottom, left, top = struct.unpack_from(">4I", frame, 8)
        samples, depth = struct.unpack_from(">HB", frame, 40)
        return Shape(_J2K, right - left, bottom - top, samples, (depth & 0x7F) + 1)
    if not frame.startswith(b"\xff\xd8"):
        raise ValueError("no codestream that DICOM knows")
    at = 2
    while True:
        mark, kind = struct.unpack_from(">2B", frame, at)
        if mark != 0xFF:
            raise ValueError("no marker where one is due")
        if kind in _SOF:
            bits, height, width, samples = struct.unpack_from(">B2HB", frame, at + 4)
            sampling = {frame[at + 11 + 3 * n] for n in range(samples)}
            return Shape(kind, width, height, samples, bits, len(sampling) > 1)
        # A marker may have any number of FF before it.
        at += 1 if kind == 0xFF else 2 + struct.unpack_from(">H", frame, at + 2)[0]


def check_rle(frame: bytes, pixels: int) -> None:
    """Raise ValueError where a segment of a DICOM RLE frame unpacks to more than one byte a pixel.

    A run of 128 equal bytes takes two, so a small file can fill the memory.
    """
    count, *offsets = struct.unpack_from("<16I", frame)
    if not 1 <= count <= 15:
        raise ValueError("an RLE frame has 1 to 15 segments")
    bounds = [*offsets[:count], len(frame)]
    for start, end in pairwise(bounds):
        if not _RLE_HEADER <= start <= end:
            raise ValueError("RLE segments out of order")
        at, unpacked = start, 0
        while at < end:
            head = frame[at]
            if head > 128:
                unpacked, at = unpacked + 257 - head, at + 2
            elif head < 128:
                unpacked, at = unpacked + head + 1, at + head + 2
            else:
                at += 1
            if unpacked > pixels + 1:
                raise ValueError("an RLE segment is larger than the image")
