import hashlib
import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from model.decode.image import (
    BrokenImage,
    FileFacts,
    ImageError,
    Limits,
    Radiograph,
    TooManyPixels,
    UnreadableFormat,
    decode,
    describe,
)
from tests import pictures

GRAY = pictures.gray()
ORIENTATION, TURN_RIGHT = 0x0112, 6


@pytest.mark.parametrize("format_", ["PNG", "TIFF", "BMP", "WEBP", "JPEG"])
def test_every_format_yields_the_pixels_that_went_in(format_: str):
    data = pictures.encoded(GRAY, format_, **({"lossless": True} if format_ == "WEBP" else {"quality": 100}))
    radiograph = decode(data)
    assert (radiograph.format, radiograph.width, radiograph.height) == (format_, 128, 96)
    assert np.abs(radiograph.pixels.astype(int) - GRAY).max() <= (3 if format_ == "JPEG" else 0)
    assert radiograph.chroma == 0
    assert radiograph.sha256 == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("mode", ["P", "RGB", "RGBA", "LA"])
def test_gray_in_any_mode_is_the_same_gray(mode: str):
    radiograph = decode(pictures.encoded(GRAY, mode=mode))
    assert np.array_equal(radiograph.pixels, GRAY)
    assert radiograph.chroma == 0


def test_a_cmyk_jpeg_is_not_turned_negative():
    radiograph = decode(pictures.encoded(GRAY, "JPEG", mode="CMYK", quality=100))
    assert np.abs(radiograph.pixels.astype(int) - GRAY).max() <= 6


@pytest.mark.parametrize("factor", [1, 16, 257])
def test_the_same_grays_in_more_bits_are_the_same_picture(factor: int):
    deep = GRAY.astype(np.uint16) * factor
    for data in (pictures.encoded(deep), pictures.encoded(deep, "TIFF")):
        assert np.abs(decode(data).pixels.astype(int) - GRAY).max() <= 1


def test_sixteen_bits_that_use_few_of_them_are_stretched_and_not_clipped():
    deep = (GRAY.astype(np.uint16) * 9) + 20000
    expected = np.round((GRAY.astype(float) - GRAY.min()) * 255 / np.ptp(GRAY))
    for data in (pictures.encoded(deep), pictures.encoded(deep, "TIFF")):
        assert np.abs(decode(data).pixels - expected).max() <= 1


def test_what_is_transparent_is_black_as_air():
    picture = np.dstack([np.full(pictures.SHAPE, 200, np.uint8)] * 3 + [np.zeros(pictures.SHAPE, np.uint8)])
    picture[10:40, 10:40, 3] = 255
    pixels = decode(pictures.encoded(picture)).pixels
    assert (pixels[0, 0], pixels[20, 20]) == (0, 200)


def test_the_exif_orientation_is_applied():
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT
    radiograph = decode(pictures.encoded(GRAY, "JPEG", quality=100, exif=exif))
    assert (radiograph.width, radiograph.height) == (96, 128)
    assert np.abs(radiograph.pixels.astype(int) - np.rot90(GRAY, -1)).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("how", [{}, {"mode": "RGB"}, {"mode": "CMYK"}, {"progressive": True}])
def test_a_jpeg_is_described_as_it_decodes(how: dict, orientation: int):
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = pictures.encoded(GRAY[:, :121], "JPEG", exif=exif, **how)
    file, radiograph = describe(data), decode(data)
    assert (file.width, file.height, file.format) == (radiograph.width, radiograph.height, "JPEG")


EXIF_TEXT = "Raw profile type exif"
DAMAGED_EXIF = {
    "png, no tiff": ("PNG", {"exif": b"garbage!"}),
    "png, zeros": ("PNG", {"exif": bytes(20)}),
    "png, cut off": ("PNG", {"exif": b"II*\0"}),
    "png, text": ("PNG", {"pnginfo": {EXIF_TEXT: "\nexif\n      8\n6761726261676521\n"}}),
    "png, text without digits": ("PNG", {"pnginfo": {EXIF_TEXT: "\nexif\n      8\ngarbage!\n"}}),
    "webp": ("WEBP", {"exif": b"Exif\0\0garbage!!", "lossless": True}),
    "jpeg": ("JPEG", {"exif": b"Exif\0\0garbage!!", "quality": 100}),
}


@pytest.mark.parametrize("name", DAMAGED_EXIF)
def test_damaged_exif_data_is_left_out(name: str):
    format_, options = DAMAGED_EXIF[name]
    if texts := options.get("pnginfo"):
        notes = PngImagePlugin.PngInfo()
        for keyword, text in texts.items():
            notes.add_text(keyword, text)
        options = {"pnginfo": notes}
    data = pictures.encoded(GRAY, format_, **options)
    assert np.abs(decode(data).pixels.astype(int) - GRAY).max() <= 3
    assert (describe(data).width, describe(data).height) == (128, 96)


def test_colours_have_chroma():
    assert decode(pictures.encoded(pictures.colours())).chroma > 0.5


def test_a_sixteen_bit_tiff_that_counts_from_white_is_turned():
    # Little-endian: Pillow knows no other TIFF of this kind.
    deep = (65535 - GRAY.astype(np.uint16) * 257).astype("<u2")
    # PhotometricInterpretation 0 is WhiteIsZero.
    data = pictures.encoded(deep, "TIFF", tiffinfo={262: 0})
    assert np.corrcoef(decode(data).pixels.ravel(), GRAY.ravel())[0, 1] > 0.99


def test_dicom_is_windowed_and_shows_bone_white():
    window = {"WindowCenter": 1000, "WindowWidth": 1000}
    plain = decode(pictures.dicom(GRAY))
    windowed = decode(pictures.dicom(GRAY, **window))
    turned = decode(pictures.dicom(GRAY, **window, PhotometricInterpretation="MONOCHROME1"))
    assert (plain.format, plain.width, plain.height, plain.chroma) == ("DICOM", 128, 96, 0)
    values = GRAY.astype(int) * 16
    assert set(windowed.pixels[values <= 480]) == {0}
    assert set(windowed.pixels[values >= 1520]) == {255}
    assert 0 < windowed.pixels[(values > 900) & (values < 1100)].mean() < 255
    assert np.array_equal(turned.pixels, 255 - windowed.pixels)
    assert np.corrcoef(plain.pixels.ravel(), GRAY.ravel())[0, 1] > 0.99


def test_dicom_rescales_before_it_windows():
    rescaled = decode(
        pictures.dicom(GRAY, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=1900, WindowWidth=2000)
    )
    direct = decode(pictures.dicom(GRAY, WindowCenter=1000, WindowWidth=1000))
    assert np.abs(rescaled.pixels.astype(int) - direct.pixels).max() <= 1


BROKEN = {
    "truncated jpeg": pictures.truncated_jpeg(),
    "truncated png": pictures.encoded(GRAY)[:-400],
    "truncated tiff": pictures.encoded(GRAY, "TIFF")[:4000],
    "truncated bmp": pictures.encoded(GRAY, "BMP")[:4000],
    "truncated webp": pictures.encoded(GRAY, "WEBP")[:400],
    "animated webp": pictures.animated_webp(),
    "thumbnail": pictures.encoded(GRAY[:16, :16]),
    "dicom without pixels": pictures.dicom(),
    "dicom with frames": pictures.dicom(GRAY, frames=2),
    "dicom of wrong length": pictures.dicom(GRAY, cut=4001),
    "dicom without its end": pictures.dicom(GRAY)[:200],
    "dicom that claims compression": pictures.dicom(GRAY).replace(
        b"1.2.840.10008.1.2.1\0", RLELossless.encode() + b"\0"
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_with_what_to_do(name: str):
    with pytest.raises(BrokenImage) as refusal:
        decode(BROKEN[name])
    assert "end" in refusal.value.detail or "xport" in refusal.value.detail
    with pytest.raises(BrokenImage) as described:
        describe(BROKEN[name])
    assert described.value.detail == refusal.value.detail


def test_a_deflated_dicom_is_refused_before_it_is_inflated():
    data = pictures.dicom(GRAY)
    syntax = DeflatedExplicitVRLittleEndian.encode()
    old = data.index(b"1.2.840.10008.1.2.1\0")
    length_at = old - 2
    grown = len(syntax) + len(syntax) % 2
    meta_at = data.index(b"\x02\0\0\0UL")
    meta_length = struct.unpack("<I", data[meta_at + 8 : meta_at + 12])[0] + grown - 20
    patched = (
        data[: meta_at + 8]
        + struct.pack("<I", meta_length)
        + data[meta_at + 12 : length_at]
        + struct.pack("<H", grown)
        + syntax.ljust(grown, b"\0")
        + data[old + 20 :]
    )
    with pytest.raises(BrokenImage, match="Deflated"):
        decode(patched)


@pytest.mark.parametrize("data", [b"", b"plain text", b"BM is how this text begins", b"GIF89a" + b"\0" * 99])
def test_what_is_no_image_is_named_so(data: bytes):
    with pytest.raises(UnreadableFormat, match="DICOM"):
        decode(data)


def test_a_bomb_is_refused_from_its_header():
    with pytest.raises(TooManyPixels, match="far too many pixels"):
        decode(pictures.bomb())
    with pytest.raises(TooManyPixels, match="128 x 96"):
        decode(pictures.dicom(GRAY), Limits(max_pixels=128 * 96 - 1))
    with pytest.raises(TooManyPixels, match="128 x 96"):
        describe(pictures.encoded(GRAY, "JPEG"), Limits(max_pixels=128 * 96 - 1))
    assert decode(pictures.dicom(GRAY), Limits(max_pixels=128 * 96))


@pytest.mark.filterwarnings("ignore::UserWarning")  # what Pillow and pydicom say before they give up
def test_damaged_bytes_raise_nothing_else_and_are_described_as_they_decode():
    random = np.random.default_rng(1)
    originals = [
        *(pictures.encoded(GRAY, format_) for format_ in ("PNG", "JPEG", "TIFF", "BMP", "WEBP")),
        pictures.dicom(GRAY, WindowCenter=1000, WindowWidth=1000),
    ]
    for original in originals:
        for _ in range(60):
            data = bytearray(original)
            for _ in range(random.integers(1, 12)):
                data[random.integers(0, min(len(data), 2000))] = random.integers(0, 256)
            damaged = bytes(data[: random.integers(1, len(data) + 1)])
            assert _size(describe, damaged) == _size(decode, damaged)


def _size(read: Callable[[bytes], Radiograph | FileFacts], data: bytes) -> tuple[int, int] | str:
    try:
        file = read(data)
    except ImageError as refusal:
        return refusal.detail
    return file.width, file.height


def test_the_pixels_of_a_radiograph_do_not_share_memory_with_the_file():
    data = io.BytesIO(pictures.encoded(GRAY)).getvalue()
    radiograph = decode(data)
    assert radiograph.pixels.dtype == np.uint8
    assert radiograph.pixels.shape == pictures.SHAPE
