"""Legal kinds of TIFF, PNG and BMP that are seldom seen decode to the picture that went in."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from model.decode.image import BrokenImage, ImageError, decode, decode_values
from model.decode.scaling import stretch
from tests import pictures
from tests.pictures import tiff

GRAY = pictures.gray()
SHOWN = stretch(GRAY)
SMALL = np.ascontiguousarray(GRAY[::2, ::2])


def assert_shows_gray(file: bytes, within: int = 1) -> None:
    pixels = decode(file).pixels
    assert pixels.shape == GRAY.shape
    assert np.abs(stretch(pixels).astype(int) - SHOWN).max() <= within


def with_nan() -> np.ndarray:
    values = GRAY.astype(np.float32) + 1000
    values[0, :9], values[1, :3], values[2, :3] = np.nan, np.inf, -np.inf
    return values


WIDE = GRAY.astype(np.uint32) * (2**32 // 256)
NUMBERS = {
    "8 bits": GRAY,
    "16 bits": GRAY.astype(np.uint16) * 257,
    "signed 16 bits": GRAY.astype(np.int16) * 100 - 12000,
    "signed 8 bits": (GRAY.astype(np.int16) - 128).astype(np.int8),
    "32 bits": WIDE,
    "signed 32 bits": GRAY.astype(np.int32) * 9000 - 70000,
    "half floats": GRAY.astype(np.float16),
    "floats": GRAY.astype(np.float32) / 255,
    "double floats": GRAY.astype(np.float64) * 1e30,
}


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("kind", NUMBERS)
def test_a_tiff_of_any_numbers_shows_its_grays(kind: str, byteorder: str, compression: str | None):
    if compression not in (None, "zlib"):
        pytest.importorskip("imagecodecs", reason="LZW AND PACKBITS WERE NOT TRIED: imagecodecs is missing")
    file = tiff({"data": NUMBERS[kind], "compression": compression}, byteorder=byteorder)
    assert_shows_gray(file)
    assert np.abs(stretch(decode_values(file).pixels).astype(int) - SHOWN).max() <= 1


def packed_tiff(values: np.ndarray, bits: int, byteorder: str) -> bytes:
    """One strip of rows whose samples follow each other bit by bit, the highest first (FillOrder 1)."""
    every_bit = (values[..., None] >> np.arange(bits)[::-1]) & 1
    strip = np.packbits(every_bit.reshape(len(values), -1).astype(np.uint8), axis=1).tobytes()
    height, width = values.shape
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(strip)}
    entries = b"".join(struct.pack(byteorder + "HHII", tag, 4, 1, value) for tag, value in tags.items())
    header = {"<": b"II", ">": b"MM"}[byteorder] + struct.pack(byteorder + "HI", 42, 8 + len(strip))
    return header + strip + struct.pack(byteorder + "H", len(tags)) + entries + bytes(4)


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("bits", [10, 12, 14])
def test_a_tiff_of_packed_bits_shows_its_grays(bits: int, byteorder: str):
    pytest.importorskip("imagecodecs", reason="PACKED TIFF WAS NOT TRIED: imagecodecs is missing")
    values = np.round(GRAY * ((2**bits - 1) / 255)).astype(np.uint16)
    assert_shows_gray(packed_tiff(values, bits, byteorder))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("kind", ["8 bits", "16 bits", "32 bits", "floats"])
def test_a_sample_beside_the_gray_is_left_out(kind: str, planar: str, byteorder: str):
    numbers = NUMBERS[kind]
    beside = np.full_like(numbers, numbers.max())
    data = np.stack([numbers, beside], axis=-1 if planar == "contig" else 0)
    page = {"data": data, "planarconfig": planar, "extrasamples": ["unspecified"]}
    assert_shows_gray(tiff(page, byteorder=byteorder))


def test_deep_colours_are_gray_where_they_are_alike():
    data = np.stack([NUMBERS["16 bits"]] * 3, axis=-1)
    assert_shows_gray(tiff({"data": data, "photometric": "rgb"}))


@pytest.mark.parametrize("kind", ["16 bits", "32 bits", "floats", "signed 8 bits"])
def test_a_deep_tiff_that_counts_from_white_is_turned(kind: str):
    numbers = NUMBERS[kind]
    turned = numbers.max() - numbers if kind != "signed 8 bits" else ~numbers
    pixels = decode(tiff({"data": turned, "photometric": "miniswhite"})).pixels
    assert np.abs(stretch(pixels).astype(int) - SHOWN).max() <= 1


def test_what_is_no_number_is_black_and_takes_no_contrast():
    pixels = decode(tiff({"data": with_nan()})).pixels
    assert not pixels[0, :9].any()
    assert np.abs(pixels[3:].astype(int) - SHOWN[3:]).max() <= 2


@pytest.mark.parametrize("bigtiff", [True, False])
@pytest.mark.parametrize("order", ["picture first", "preview first", "a mask too"])
def test_a_page_beside_the_picture_is_left_out(order: str, bigtiff: bool):
    picture, preview = {"data": GRAY}, {"data": SMALL, "subfiletype": 1}
    mask = {"data": GRAY > 50, "subfiletype": 4}
    pages = {
        "picture first": [picture, preview],
        "preview first": [preview, picture],
        "a mask too": [picture, mask, preview],
    }
    assert_shows_gray(tiff(*pages[order], bigtiff=bigtiff))


@pytest.mark.parametrize("pages", [2, 40])
def test_several_pictures_are_refused(pages: int):
    with pytest.raises(BrokenImage, match="several pages"):
        decode(tiff(*[{"data": GRAY}] * pages))


def test_a_ring_of_previews_ends():
    file = bytearray(tiff({"data": GRAY}, {"data": SMALL, "subfiletype": 1}))
    (first,) = struct.unpack_from("<I", file, 4)
    (second,) = struct.unpack_from("<I", file, first + 2 + 12 * struct.unpack_from("<H", file, first)[0])
    end = second + 2 + 12 * struct.unpack_from("<H", file, second)[0]
    struct.pack_into("<I", file, end, second)
    with pytest.raises(BrokenImage, match="several pages"):
        decode(bytes(file))


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


LARGE = zlib.compress(np.random.default_rng(1).bytes(2_000_000), 1)
ANCILLARY_CHUNKS = {
    "iCCP": b"profile\0\0" + LARGE,
    "zTXt": b"Comment\0\0" + LARGE,
    "iTXt": b"Comment\0\1\0\0\0" + LARGE,
    "tEXt": b"Comment\0" + b"a" * 3_000_000,
}


@pytest.mark.parametrize("kind", ANCILLARY_CHUNKS)
def test_a_large_note_in_a_png_is_left_out(kind: str):
    file = pictures.encoded(GRAY)
    first = file.index(b"IDAT") - 4
    assert_shows_gray(file[:first] + chunk(kind.encode(), ANCILLARY_CHUNKS[kind]) + file[first:])


def test_an_alpha_channel_that_is_empty_is_left_out():
    picture = Image.fromarray(GRAY).convert("RGBA")
    picture.putalpha(0)
    for format_ in ("PNG", "TIFF", "BMP"):
        file = io.BytesIO()
        picture.save(file, format_)
        assert_shows_gray(file.getvalue())


def test_warnings_of_tifffile_do_not_reach_the_log(caplog: pytest.LogCaptureFixture):
    file = tiff({"data": np.stack([NUMBERS["16 bits"]] * 2, axis=-1), "extrasamples": ["unspecified"]})
    offsets = struct.pack("<HHI", 273, 4, 1)
    assert offsets in file
    with pytest.raises(ImageError):
        decode(file.replace(offsets, struct.pack("<HHI", 40_273, 4, 1)))
    assert not caplog.records
