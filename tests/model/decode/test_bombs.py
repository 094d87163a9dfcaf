"""Files that unfold into more than the memory has, in every format that is read, are not unfolded."""

import io
import os
import re
import struct
import subprocess
import sys
import zlib
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from benchmarks.service import resident
from model.decode.image import ImageError, decode
from tests import pictures

GRAY = pictures.gray()
SIDE = 12_000
"""More pixels than are read, and fewer than Pillow refuses by itself."""
UNFOLDED = 300_000_000
MOST_MEGABYTES = 150
ROOT = Path(__file__).parents[3]


def with_chunk(kind: bytes, data: bytes, times: int = 1) -> bytes:
    """A good PNG with one chunk more behind its header, or as many as that."""
    png = pictures.encoded(GRAY)
    chunk = struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return png[:33] + chunk * times + png[33:]


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


def directory(tags: list[tuple[int, int, int, int]], values: bytes = b"") -> bytes:
    """A TIFF file, or EXIF data: tags of (tag, type, count, value or offset), and `values` from byte 8 on."""
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return (
        b"II*\0"
        + struct.pack("<I", 8 + len(values))
        + values
        + struct.pack("<H", len(tags))
        + entries
        + bytes(4)
    )


def tiff(side: int, strip: bytes) -> bytes:
    """A TIFF of one strip, deflated."""
    tags = {256: side, 257: side, 258: 8, 259: 8, 262: 1, 273: 8, 277: 1, 278: side, 279: len(strip)}
    return directory([(tag, 4, 1, value) for tag, value in tags.items()], strip)


def tiff_of_many(offsets: int, sizes: int, kind: int, **more: int) -> bytes:
    """A TIFF of 100 pixels a side with a million offsets."""
    tags = {256: 100, 257: 100, 258: 8, 259: 1, 262: 1, 277: 1, **{int(k[1:]): v for k, v in more.items()}}
    million = [(tag, kind, 1_000_000, 8) for tag in (offsets, sizes)]
    return directory(
        sorted([*((tag, 4, 1, value) for tag, value in tags.items()), *million]), b"\1\0\0\0" * 2_000_000
    )


OVERLAPPING = directory([(40_000 + tag, 7, 60_000, 8) for tag in range(400)], bytes(60_000))
"""EXIF data of 400 tags that all have the same 60,000 bytes."""


def exif_in_jpeg() -> bytes:
    described = b"\xff\xe1" + struct.pack(">H", len(OVERLAPPING) + 8) + b"Exif\0\0" + OVERLAPPING
    jpeg = pictures.encoded(GRAY, "JPEG")
    return jpeg[:2] + described + jpeg[2:]


def jpeg_of_scans(count: int, **options: object) -> bytes:
    """A JPEG of a million pixels with `count` scans more, none of which holds a byte of pixels."""
    whole = pictures.encoded(np.tile(GRAY, (10, 8)), "JPEG", **options)
    last = whole.rindex(b"\xff\xda")
    header = whole[last : last + 2 + int.from_bytes(whole[last + 2 : last + 4], "big")]
    return whole[:-2] + header * count + whole[-2:]


def dicom_with(elements: bytes) -> bytes:
    """A good DICOM file with these elements before all others of its dataset."""
    whole = pictures.dicom(GRAY)
    start = whole.index(b"\x08\0\x16\0UI")
    return whole[:start] + elements + whole[start:]


def sequence(items: int, length: int | None = None) -> bytes:
    """An Anatomic Region Sequence of so many items, each with an element of a byte or two."""
    body = (b"\xfe\xff\0\xe0" + struct.pack("<I", 10) + b"\x08\0\0\x01SH\x02\0AB") * items
    end = b"" if length is not None else b"\xfe\xff\xdd\xe0" + bytes(4)
    size = len(body) if length is not None else 0xFFFFFFFF
    return b"\x08\0\x18\x22SQ\0\0" + struct.pack("<I", size) + body + end


def dicom_of_fragments(count: int) -> bytes:
    whole = pictures.compressed_dicom(GRAY, RLELossless)
    end = whole.rindex(b"\xfe\xff\xdd\xe0")
    return whole[:end] + (b"\xfe\xff\0\xe0" + bytes(4)) * count + whole[end:]


def bmp_of_runs() -> bytes:
    """A BMP in RLE4 whose runs hold no pixels."""
    data = bytearray(pictures.encoded(GRAY, "BMP", mode="P")[:54] + bytes(64))
    data[10:14], data[28:34] = struct.pack("<I", len(data)), struct.pack("<HI", 4, 2)
    data[46:50] = struct.pack("<I", 16)
    return bytes(data) + bytes(2) * 1_000_000


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


RUN = struct.pack("<16I", 2, 64, 64, *([0] * 13)) + b"\x81\x00" * 2_000_000
EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
JPEG_2000 = io.BytesIO()
Image.fromarray(GRAY).save(JPEG_2000, "JPEG2000", no_jp2=True)
BOMBS |= {
    "dicom of RLE that unfolds": pictures.compressed_dicom(GRAY, RLELossless, RUN),
    "dicom around a larger jpeg": pictures.compressed_dicom(GRAY, JPEGBaseline8Bit, jpeg(), **EIGHT_BITS),
    "dicom around a jpeg 2000 called jpeg": pictures.compressed_dicom(
        GRAY, JPEGBaseline8Bit, JPEG_2000.getvalue(), **EIGHT_BITS
    ),
    "dicom of 200,000 elements": dicom_with(b"\x08\0\0\x01SH\x02\0AB" * 200_000),
    "dicom of 200,000 items": dicom_with(sequence(200_000)),
    "dicom of 200,000 items of a length": dicom_with(sequence(200_000, length=1)),
    "dicom of 200,000 fragments": dicom_of_fragments(200_000),
    "jpeg of 2,000 scans": jpeg_of_scans(2_000, progressive=True),
    "jpeg of 500,000 markers": pictures.encoded(GRAY, "JPEG")[:2]
    + b"\xff\xfe\0\2" * 500_000
    + pictures.encoded(GRAY, "JPEG")[2:],
    "jpeg with exif of 24 MB": exif_in_jpeg(),
    "png of 500,000 chunks": with_chunk(b"tEXt", b"a\0", 500_000),
    "png with exif of 24 MB": with_chunk(b"eXIf", OVERLAPPING),
    "png with exif of 24 MB behind two names": with_chunk(b"eXIf", b"Exif\0\0" + OVERLAPPING),
    "tiff of a million strips": tiff_of_many(273, 279, 4, t278=1),
    "tiff of a million tiles": tiff_of_many(324, 325, 4, t322=16, t323=16),
    "tiff of a million strips of a byte": tiff_of_many(273, 279, 1, t278=1),
    "tiff with tags of 24 MB": OVERLAPPING,
    "bmp of runs": bmp_of_runs(),
}
HARMLESS = (
    "png with text",
    "png with a colour profile",
    "png with too many rows",
    "tiff with a strip that unfolds",
)
"""What is behind their own few pixels, or is no pixel, is never unfolded."""
HONEST = pictures.encoded(np.random.default_rng(3).integers(0, 256, (2000, 2000), np.uint8))
"""4 MB of 4 million pixels: no bomb costs more processor time, nor does a byte of one cost more."""


def outcome(data: bytes) -> str:
    """What decoding comes to in a process of its own, megabytes by which it grew, and processor time."""
    sys.stdout.flush()
    before = resident(os.getpid())
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
    grown = used.ru_maxrss // 1024 - before // 1_000_000
    return f"{grown} {used.ru_utime + used.ru_stime}"


def test_no_bomb_costs_more_memory_or_time_than_an_honest_picture():
    command = (sys.executable, "-m", "tests.model.decode.test_bombs")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(": ") for line in done.stdout.splitlines())
    honest = float(said.pop("honest").split()[2])
    assert said.keys() == BOMBS.keys()
    for name, text in said.items():
        what, grown, seconds = text.split()
        expected = "TooManyPixels" if "a side" in name else "shown" if name in HARMLESS else "BrokenImage"
        assert what == (expected if name != "bmp of runs" else "UnreadableFormat"), name
        assert int(grown) < MOST_MEGABYTES, name
        assert float(seconds) < honest * max(1, len(BOMBS[name]) / len(HONEST)), name


if __name__ == "__main__":
    decode(pictures.dicom(GRAY))  # loads what is loaded late
    for name, data in {"honest": HONEST, **BOMBS}.items():
        print(f"{name}: ", end="")
        print(outcome(data))
