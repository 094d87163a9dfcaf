"""Files that unfold into more than the memory holds, in every format that is read: they are not unfolded."""

import os
import re
import resource
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

from pydicom.uid import JPEGBaseline8Bit, RLELossless

from model.image import ImageError, decode
from tests import pictures

GRAY = pictures.gray()
SIDE = 12_000
"""More pixels than are read, and fewer than Pillow refuses by itself."""
UNFOLDED = 300_000_000
MOST_MEGABYTES = 150
ROOT = Path(__file__).parents[2]


def with_chunk(kind: bytes, data: bytes) -> bytes:
    """A good PNG with one chunk more behind its header."""
    png = pictures.encoded(GRAY)
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk + png[33:]


@cache
def folded() -> bytes:
    """A stream of deflate that unfolds into UNFOLDED zeros."""
    squeezed = zlib.compressobj(9)
    return (
        b"".join(squeezed.compress(bytes(10_000_000)) for _ in range(UNFOLDED // 10_000_000))
        + squeezed.flush()
    )


def png_with_too_many_rows() -> bytes:
    png = pictures.encoded(GRAY)
    data = folded()
    chunk = struct.pack(">I", len(data)) + b"IDAT" + data + struct.pack(">I", zlib.crc32(b"IDAT" + data))
    return png[:33] + chunk + png[-12:]


def jpeg() -> bytes:
    return re.sub(
        rb"(\xff\xc0\x00\x0b\x08)....",
        rb"\1" + struct.pack(">HH", SIDE, SIDE).replace(b"\\", b"\\\\"),
        pictures.encoded(GRAY, "JPEG"),
        count=1,
        flags=re.DOTALL,
    )


def tiff(side: int, strip: bytes) -> bytes:
    """A TIFF of one strip, deflated."""
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, side),
        (279, 4, len(strip)),
    ]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(strip))
        + strip
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def bmp() -> bytes:
    data = pictures.encoded(GRAY, "BMP")
    return data[:18] + struct.pack("<ii", SIDE, SIDE) + data[26:]


def webp() -> bytes:
    data = pictures.encoded(GRAY, "WEBP", lossless=True)
    at = data.index(b"VP8L") + 9
    return data[:at] + struct.pack("<I", SIDE - 1 | SIDE - 1 << 14) + data[at + 4 :]


BOMBS = {
    "png of 12,000 a side": pictures.bomb(SIDE),
    "png with text": with_chunk(b"zTXt", b"a\0\0" + folded()),
    "png with a colour profile": with_chunk(b"iCCP", b"a\0\0" + folded()),
    "png with too many rows": png_with_too_many_rows(),
    "jpeg of 12,000 a side": jpeg(),
    "tiff of 12,000 a side": tiff(SIDE, folded()),
    "tiff with a strip that unfolds": tiff(100, folded()),
    "bmp of 12,000 a side": bmp(),
    "webp of 12,000 a side": webp(),
    "dicom of 65,535 a side": pictures.dicom(GRAY, Rows=65_535, Columns=65_535),
}


HARMLESS = ("png with too many rows", "tiff with a strip that unfolds")
"""What is behind their own few pixels is never unfolded."""
RUN = struct.pack("<16I", 2, 64, 64, *([0] * 13)) + b"\x81\x00" * 2_000_000
BOMBS["dicom of RLE that unfolds"] = pictures.compressed_dicom(GRAY, RLELossless, RUN)
BOMBS["dicom around a larger jpeg"] = pictures.compressed_dicom(
    GRAY, JPEGBaseline8Bit, jpeg(), BitsAllocated=8, BitsStored=8, HighBit=7
)


def outcome(data: bytes) -> str:
    """What decoding comes to in a process of its own, and megabytes by which it grew at the most."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            decode(data)
            said = "shown"
        except ImageError as refusal:
            said = type(refusal).__name__
        print(said, end=" ", flush=True)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    assert status == 0
    return str((used.ru_maxrss - resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) // 1024)


def test_no_bomb_unfolds_and_each_is_refused_or_shown_in_its_own_size():
    command = (sys.executable, "-m", "tests.model.test_bombs")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ") for line in done.stdout.splitlines())
    assert said.keys() == BOMBS.keys()
    for name, text in said.items():
        what, grown = text.split()
        expected = "TooManyPixels" if "a side" in name else "shown" if name in HARMLESS else "BrokenImage"
        assert what == expected, name
        assert int(grown) < MOST_MEGABYTES, name


if __name__ == "__main__":
    decode(pictures.dicom(GRAY))  # loads what is loaded late
    for name, data in BOMBS.items():
        print(f"{name}: ", end="")
        print(outcome(data))
