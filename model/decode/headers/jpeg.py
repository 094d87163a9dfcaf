"""Reads the markers of a JPEG file: each scan makes a decoder go over all pixels again."""

import re

from model.decode.headers.tiff import read_directory
from model.errors import BrokenImage

_MOST_SCANS = 32
"""Libraries write up to 18 (progressive, four colours)."""
_MOST_MARKERS = 2_000
"""A colour profile or a preview comes in pieces of 64 KB, and tables may stand before each scan."""
_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""What is no byte of a scan, no restart and no filling."""
_START, _END, _SCAN = 0xD8, 0xD9, 0xDA
_ADVICE = "Save it as a baseline JPEG or as PNG and send it again."


def check_jpeg(data: bytes) -> None:
    """Raise BrokenImage for more scans or markers than a radiograph has, or metadata larger than itself.

    Goes from marker to marker as libjpeg does: bytes that belong to none are skipped. Where the markers break
    off, the decoder says so.
    """
    at, scans = 0, 0
    for _ in range(_MOST_MARKERS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, at = data[found.start(1)], found.end()
        if marker == _END:
            return
        if marker == _START:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        if marker == _SCAN:
            scans += 1
            if scans > _MOST_SCANS:
                raise BrokenImage(f"The JPEG image has more than {_MOST_SCANS} scans. {_ADVICE}")
        elif data.startswith(b"Exif\0\0", at + 2):
            read_directory(data[at + 8 : at + size])
        elif data.startswith(b"MPF\0", at + 2):
            read_directory(data[at + 6 : at + size])
        at += size
    raise BrokenImage(f"The JPEG image has more than {_MOST_MARKERS:,} markers. {_ADVICE}")
