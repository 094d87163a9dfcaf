"""A PNG file whose pixels inflate is described as it decodes, and any other one is decoded."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from model.decode import raster
from model.decode.image import decode, describe
from model.decode.png_pixels import are_complete
from model.decode_processes.pool import Decoders
from model.errors import ImageError
from tests import pictures

GRAY = pictures.gray()
DEEP = GRAY.astype(np.uint16) * 257
RGB = pictures.colours()
ALPHA = np.full(pictures.SHAPE, 255, np.uint8)
COMMON = {
    "gray": pictures.encoded(GRAY),
    "16 bits": pictures.encoded(DEEP),
    "rgb": pictures.encoded(RGB),
    "rgba": pictures.encoded(np.dstack([RGB, ALPHA])),
    "gray with alpha": pictures.encoded(np.dstack([GRAY, ALPHA])),
    "not compressed": pictures.encoded(GRAY, compress_level=0),
}


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    stream: bytes, *, kinds: tuple[int, int, int] = (8, 0, 0), pieces: int = 1, between: bytes = b""
) -> bytes:
    """A PNG of GRAY's size with this stream as pixels; `kinds`: bit depth, colour type and interlacing."""
    depth, colour, interlaced = kinds
    height, width = pictures.SHAPE
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    size = max(1, -(-len(stream) // pieces))
    parts = [chunk(b"IDAT", stream[at : at + size]) for at in range(0, len(stream), size)]
    return b"\x89PNG\r\n\x1a\n" + header + between.join(parts) + chunk(b"IEND", b"")


ROWS = b"".join(b"\0" + row.tobytes() for row in GRAY)
STREAM = zlib.compress(ROWS)
INCOMPLETE = {
    "a row is missing": png(zlib.compress(ROWS[: -len(GRAY[0]) - 1])),
    "the last pixel is missing": png(zlib.compress(ROWS[:-1])),
    "a row too many": png(zlib.compress(ROWS + ROWS[: len(GRAY[0]) + 1])),
    "an unknown filter": png(zlib.compress(ROWS[:-129] + b"\5" + ROWS[-128:])),
    "an unknown filter in the first row": png(zlib.compress(b"\5" + ROWS[1:])),
    "another checksum": png(STREAM[:-1] + bytes([STREAM[-1] ^ 1])),
    "a stream without its end": png(STREAM[:-4]),
    "half a stream": png(STREAM[: len(STREAM) // 2]),
    "no stream": png(b""),
    "bytes behind the stream": png(STREAM + b"more"),
    "another chunk between the pixels": png(STREAM, pieces=2, between=chunk(b"PLTE", bytes(3))),
    "a dictionary": png(zlib.compressobj(zdict=b"x").compress(ROWS)),
    "no end": png(STREAM)[:-12],
    "interlaced": png(STREAM, kinds=(8, 0, 1)),
    "a palette": pictures.encoded(RGB, mode="P"),
    "one bit": pictures.encoded(GRAY, mode="1"),
    "an unknown colour": png(STREAM, kinds=(8, 5, 0)),
    "an unknown depth": png(STREAM, kinds=(32, 0, 0)),
}


def turned() -> bytes:
    """A PNG with EXIF data behind its pixels, which says that viewers turn it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    whole = pictures.encoded(GRAY)
    described = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    return whole[:-12] + described + whole[-12:]


def seen(read, data: bytes) -> tuple[int, int] | str:
    try:
        file = read(data)
    except ImageError as refusal:
        return refusal.detail
    return file.width, file.height


@pytest.mark.parametrize("name", COMMON)
def test_a_common_file_is_described_without_computing_its_pixels(name: str, monkeypatch):
    decoded = decode(COMMON[name])
    monkeypatch.setattr(raster, "_to_gray", None)
    file = describe(COMMON[name])
    assert (file.width, file.height, file.format) == (decoded.width, decoded.height, "PNG")


def test_text_and_colour_profiles_do_not_matter():
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "x" * 9000)
    data = pictures.encoded(GRAY, pnginfo=notes, icc_profile=bytes(9000), dpi=(72, 72))
    assert seen(describe, data) == (128, 96)


@pytest.mark.parametrize("pieces", [1, 2, 7, 400])
def test_pixels_may_come_in_any_number_of_chunks(pieces: int):
    assert are_complete(png(STREAM, pieces=pieces))


def test_large_rows_are_counted_across_pieces():
    wide = np.zeros((3, 300_000), np.uint8)
    assert are_complete(pictures.encoded(wide))
    stream = zlib.compress(b"".join(b"\0" + row.tobytes() for row in wide[:2]) + b"\7" + wide[2].tobytes())
    data = pictures.encoded(wide)
    at = data.index(b"IDAT") - 4
    assert not are_complete(data[:at] + chunk(b"IDAT", stream) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name", INCOMPLETE)
def test_any_other_file_is_described_as_it_decodes(name: str):
    assert not are_complete(INCOMPLETE[name])
    assert seen(describe, INCOMPLETE[name]) == seen(decode, INCOMPLETE[name])


def test_megabytes_behind_the_stream_are_not_read(decoders: Decoders):
    behind = chunk(b"IDAT", bytes(1600)) * 10_000
    data = png(STREAM)[:-12] + behind + chunk(b"IEND", b"")
    # Each chunk would be copied with all before it, beyond the processor time of a decode process.
    assert decoders.facts(data, "clinic").width == decoders.decode(data, "clinic").width == 128


def test_exif_data_behind_the_pixels_turns_a_picture():
    assert seen(describe, turned()) == seen(decode, turned()) == (96, 128)


def test_damaged_pixels_are_described_as_they_decode():
    random = np.random.default_rng(5)
    refused = 0
    for original in COMMON.values():
        for _ in range(60):
            data = bytearray(original)
            for _ in range(random.integers(1, 4)):
                data[random.integers(30, len(data))] = random.integers(0, 256)
            damaged = bytes(data[: random.integers(len(data) // 2, 2 * len(data))])
            assert seen(describe, damaged) == seen(decode, damaged)
            refused += isinstance(seen(decode, damaged), str)
    assert refused > 100


def test_a_stream_that_inflates_to_far_more_is_left_early(monkeypatch):
    compressor, inflated = zlib.compressobj(), []
    bomb = png(b"".join(compressor.compress(bytes(2**20)) for _ in range(64)) + compressor.flush())

    class Watched:
        eof = False

        def __init__(self):
            self.stream = decompressobj()

        def decompress(self, *args) -> bytes:
            inflated.append(self.stream.decompress(*args))
            return inflated[-1]

    decompressobj = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Watched)
    assert not are_complete(bomb)
    assert sum(map(len, inflated)) < 2**20
    assert seen(describe, bomb) == seen(decode, bomb)
