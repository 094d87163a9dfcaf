import contextlib
import io
import struct
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_fragmented_frames
from pydicom.pixels.encoders import JPEGLSLosslessEncoder, JPEGLSNearLosslessEncoder, RLELosslessEncoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    MPEG2MPML,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from model.decode import dicom, dicom_codecs, jpeg_2000
from model.decode.image import BrokenImage, Limits, TooManyPixels, UnreadableFormat, decode, describe
from model.decode.radiograph import Radiograph
from model.decode_processes.pool import Decoders, Facts
from tests import pictures

imagecodecs = pytest.importorskip(
    "imagecodecs", reason="COMPRESSED DICOM WAS NOT TRIED: imagecodecs is missing"
)
ROOT = Path(__file__).parents[3]
GRAY = pictures.gray()
TWELVE = GRAY.astype(np.uint16) * 16
SIXTEEN = GRAY.astype(np.uint16) * 257
BITS = {"BitsAllocated": 16, "BitsStored": 12, "HighBit": 11}
EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
SIXTEEN_BITS = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}


def jpeg2000(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, "JPEG2000", no_jp2=True, **options)
    return file.getvalue()


def by_pydicom(encoder: object, array: np.ndarray, bits: int, **options: object) -> bytes:
    return encoder.encode(
        array,
        rows=array.shape[0],
        columns=array.shape[1],
        samples_per_pixel=1,
        number_of_frames=1,
        bits_allocated=8 * array.itemsize,
        bits_stored=bits,
        pixel_representation=0,
        photometric_interpretation="MONOCHROME2",
        **options,
    )


def deep_jpeg_of(array: np.ndarray, bits: int, **options: object) -> bytes:
    return imagecodecs.jpeg8_encode(array, bitspersample=bits, **options)


COMPRESSED = {
    "JPEG baseline": (JPEGBaseline8Bit, pictures.encoded(GRAY, "JPEG", quality=100), EIGHT_BITS, 3),
    "JPEG extended, 8 bits": (JPEGExtended12Bit, pictures.encoded(GRAY, "JPEG", quality=100), EIGHT_BITS, 3),
    "JPEG extended, 12 bits": (JPEGExtended12Bit, deep_jpeg_of(TWELVE, 12, level=100), BITS, 3),
    "JPEG lossless, 12 bits": (JPEGLossless, deep_jpeg_of(TWELVE, 12, lossless=True, predictor=4), BITS, 0),
    "JPEG lossless, 16 bits": (
        JPEGLosslessSV1,
        deep_jpeg_of(SIXTEEN, 16, lossless=True, predictor=1),
        SIXTEEN_BITS,
        0,
    ),
    "JPEG lossless, 8 bits": (
        JPEGLosslessSV1,
        deep_jpeg_of(GRAY, 8, lossless=True, predictor=1),
        EIGHT_BITS,
        0,
    ),
    "JPEG-LS, 12 bits": (JPEGLSLossless, by_pydicom(JPEGLSLosslessEncoder, TWELVE, 12), BITS, 0),
    "JPEG-LS near lossless, 16 bits": (
        JPEGLSNearLossless,
        by_pydicom(JPEGLSNearLosslessEncoder, SIXTEEN, 16, jls_error=200),
        SIXTEEN_BITS,
        2,
    ),
    "JPEG 2000 lossless, 16 bits": (JPEG2000Lossless, jpeg2000(SIXTEEN), SIXTEEN_BITS, 0),
    "JPEG 2000 lossless, 8 bits": (JPEG2000Lossless, jpeg2000(GRAY), EIGHT_BITS, 0),
    "JPEG 2000, 8 bits": (
        JPEG2000,
        jpeg2000(GRAY, irreversible=True, quality_mode="dB", quality_layers=[50]),
        EIGHT_BITS,
        4,
    ),
    "RLE, 12 bits": (RLELossless, by_pydicom(RLELosslessEncoder, TWELVE, 12), BITS, 0),
    "RLE, 8 bits": (RLELossless, by_pydicom(RLELosslessEncoder, GRAY, 8), EIGHT_BITS, 0),
}


def compressed(name: str, **changes: object) -> bytes:
    syntax, codestream, bits, _ = COMPRESSED[name]
    return pictures.dicom(GRAY, **{"syntax": syntax, "codestream": codestream, **bits, **changes})


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_compression_yields_the_pixels_that_went_in(name: str):
    expected = np.round((GRAY.astype(float) - GRAY.min()) * 255 / np.ptp(GRAY))
    pixels = decode(compressed(name)).pixels
    assert np.abs(pixels - expected).max() <= 1 + COMPRESSED[name][3]


@pytest.mark.parametrize("name", COMPRESSED)
def test_every_compression_is_described_as_it_decodes(name: str):
    data = compressed(name, PixelSpacing=[0.1, 0.1], BodyPartExamined="WRIST")
    file, radiograph = describe(data), decode(data)
    assert (file.width, file.height, file.format) == (radiograph.width, radiograph.height, "DICOM")
    assert file.acquisition == radiograph.acquisition
    assert file.acquisition.body_part


@pytest.mark.parametrize("name", [name for name in COMPRESSED if name.startswith("JPEG 2000")])
def test_jpeg_2000_is_described_without_all_of_its_pixels(name: str, monkeypatch: pytest.MonkeyPatch):
    shown: list[np.ndarray] = []
    show = dicom.show
    monkeypatch.setattr(dicom, "pixel_array", lambda *_, **__: pytest.fail("it was decoded"))
    monkeypatch.setattr(dicom, "show", lambda stored, header: shown.append(stored) or show(stored, header))
    assert describe(compressed(name)).width == 128
    assert 0 < shown[0].size < GRAY.size / 100


@pytest.mark.parametrize("shape", [(130, 303), (143, 129), (96, 2022), (64, 64), (33, 1025)])
def test_jpeg_2000_of_any_size_is_decoded_to_few_pixels(shape: tuple[int, int]):
    random = np.random.default_rng(6)
    smallest = jpeg_2000.decode_smallest(jpeg2000(random.integers(0, 4096, shape).astype(np.uint16)))
    assert smallest is not None
    assert 0 < smallest.size < shape[0] * shape[1] / 100


def test_jpeg_2000_that_pillow_does_not_read_is_decoded(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(jpeg_2000, "Jpeg2KImageFile", lambda _: 1 / 0)
    assert describe(compressed("JPEG 2000 lossless, 16 bits")).width == 128


@pytest.mark.parametrize("name", ["JPEG extended, 12 bits", "JPEG-LS, 12 bits", "RLE, 12 bits"])
def test_compressed_pixels_are_windowed_and_turned_as_plain_ones(name: str):
    window = {"WindowCenter": 1000, "WindowWidth": 1000, "PhotometricInterpretation": "MONOCHROME1"}
    plain = decode(pictures.dicom(GRAY, **window))
    squeezed = decode(compressed(name, **window))
    # Lossy by a level or two of 4,096; the window spreads 1,000 of them over 256.
    assert np.abs(squeezed.pixels.astype(int) - plain.pixels).max() <= 12


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_codestream_larger_than_its_header_is_refused_undecoded(name: str, monkeypatch: pytest.MonkeyPatch):
    def decoded(*_: object, **__: object) -> None:
        pytest.fail("it was decoded")

    monkeypatch.setattr(dicom, "pixel_array", decoded)
    small = pictures.gray()[:48, :64]
    syntax, codestream, bits, _ = COMPRESSED[name]
    data = pictures.dicom(small, syntax=syntax, codestream=codestream, **bits)
    with pytest.raises(BrokenImage):
        decode(data)


def test_a_codestream_is_held_to_the_limit_of_its_header():
    with pytest.raises(TooManyPixels):
        decode(compressed("JPEG 2000 lossless, 16 bits"), Limits(max_pixels=GRAY.size - 1))


def test_a_few_bytes_of_rle_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dicom, "pixel_array", lambda *_, **__: pytest.fail("it was decoded"))
    run = bytes([129, 0]) * 8_000  # 128 zeros each
    bomb = struct.pack("<16I", 1, 64, *[0] * 14) + run
    with pytest.raises(BrokenImage):
        decode(pictures.dicom(GRAY, syntax=RLELossless, codestream=bomb, **EIGHT_BITS))


@pytest.mark.parametrize("syntax", [HTJ2K, MPEG2MPML, "1.2.3.4.5.6.7"])
def test_a_compression_without_a_decoder_is_refused_by_name(syntax: str):
    data = pictures.dicom(GRAY, syntax=syntax, codestream=b"\xff\x4f\xff\x51" + b"\0" * 60)
    with pytest.raises(UnreadableFormat, match="export it as PNG") as refusal:
        decode(data)
    assert "1.2.3.4" not in refusal.value.detail


def test_without_imagecodecs_its_compressions_alone_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(dicom_codecs, "PLUGIN", "not-installed-here")
    with pytest.raises(UnreadableFormat, match="JPEG Lossless"):
        decode(compressed("JPEG lossless, 12 bits"))
    assert decode(compressed("JPEG baseline")).width == decode(compressed("RLE, 12 bits")).width == 128


def test_a_process_that_never_had_imagecodecs_decodes_all_other_dicom(tmp_path: Path):
    """As on s390x, where there is no imagecodecs: the plug-in is registered and not available."""
    plain = pictures.dicom(TWELVE, **BITS)
    (tmp_path / "plain.dcm").write_bytes(plain)
    (tmp_path / "lossless.dcm").write_bytes(compressed("JPEG lossless, 12 bits"))
    code = """
import importlib.util as util, sys
from pathlib import Path
found = util.find_spec
util.find_spec = lambda name, *rest: None if name == "imagecodecs" else found(name, *rest)
from model.decode.image import decode
from model.errors import UnreadableFormat
print(decode(Path(sys.argv[1], "plain.dcm").read_bytes()).width)
try:
    decode(Path(sys.argv[1], "lossless.dcm").read_bytes())
except UnreadableFormat as error:
    print(error.detail)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    width, refusal = ran.stdout.splitlines()
    assert (int(width), "JPEG Lossless" in refusal) == (decode(plain).width, True)


def test_a_codestream_in_several_fragments_is_one_picture():
    syntax, codestream, bits, _ = COMPRESSED["JPEG-LS, 12 bits"]
    data = pictures.dicom(GRAY, syntax=syntax, codestream=codestream, **bits)
    dataset = dcmread(io.BytesIO(data))
    dataset.PixelData = encapsulate([codestream], fragments_per_frame=3)
    assert len(next(generate_fragmented_frames(dataset.PixelData, number_of_frames=1))) == 3
    file = io.BytesIO()
    dataset.save_as(file)
    assert np.array_equal(decode(file.getvalue()).pixels, decode(data).pixels)


def test_a_decoder_that_does_not_end_is_ended(decoders: Decoders):
    syntax, codestream, bits, _ = COMPRESSED["JPEG-LS, 12 bits"]
    random = np.random.default_rng(2)
    damaged = bytearray(codestream[: random.integers(40, len(codestream))])
    for place in random.integers(30, len(damaged), 5):
        damaged[place] ^= 1 << random.integers(0, 8)
    with pytest.raises(BrokenImage, match="takes more time or memory"):
        decoders.facts(pictures.dicom(GRAY, syntax=syntax, codestream=bytes(damaged), **bits), "clinic")


@pytest.mark.parametrize("name", COMPRESSED)
def test_damage_to_a_codestream_is_a_broken_image_and_nothing_else(name: str, decoders: Decoders):
    random = np.random.default_rng(3)
    syntax, codestream, bits, _ = COMPRESSED[name]
    for _ in range(2):
        damaged = bytearray(codestream[: random.integers(40, len(codestream))])
        for place in random.integers(30, len(damaged), 5):
            damaged[place] ^= 1 << random.integers(0, 8)
        with contextlib.suppress(BrokenImage):
            decoders.decode(pictures.dicom(GRAY, syntax=syntax, codestream=bytes(damaged), **bits), "clinic")


@pytest.mark.parametrize("name", [name for name in COMPRESSED if name.startswith("JPEG 2000")])
def test_a_damaged_jpeg_2000_is_described_as_it_decodes(name: str, decoders: Decoders):
    random = np.random.default_rng(4)
    syntax, codestream, bits, _ = COMPRESSED[name]

    def seen(read: Callable[[bytes, str], Facts | Radiograph], data: bytes) -> tuple[int, int] | str:
        try:
            file = read(data, "clinic")
        except BrokenImage as refusal:
            return refusal.detail
        return file.width, file.height

    found = set()
    for _ in range(40):
        damaged = bytearray(codestream)
        for place in random.integers(50, len(damaged), random.integers(1, 4)):
            damaged[place] ^= 1 << random.integers(0, 8)
        cut = damaged[: random.integers(len(damaged) // 2, 3 * len(damaged))]
        data = pictures.dicom(GRAY, syntax=syntax, codestream=bytes(cut), **bits)
        assert seen(decoders.facts, data) == seen(decoders.decode, data)
        found.add(type(seen(decoders.facts, data)))
    assert found == {str, tuple}


@pytest.mark.parametrize("without", ["PixelRepresentation", "BitsStored", None])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"BitsStored": 0},
        {"BitsStored": 17},
        {"BitsAllocated": 12},
        {"PixelRepresentation": 2},
        {"PhotometricInterpretation": "MONOCHROME"},
    ],
)
def test_a_header_of_jpeg_2000_is_described_as_it_decodes(changes: dict, without: str | None):
    file = dcmread(io.BytesIO(compressed("JPEG 2000 lossless, 16 bits", **changes)))
    if without:
        delattr(file, without)
    written = io.BytesIO()
    file.save_as(written)
    outcomes = []
    for read in (describe, decode):
        try:
            outcomes.append(read(written.getvalue()).width)
        except BrokenImage as refusal:
            outcomes.append(refusal.detail)
    assert outcomes[0] == outcomes[1]
    assert (outcomes[0] == 128) is (not changes and not without)


def test_a_codestream_of_more_than_16_bits_is_refused():
    import imagecodecs

    deep = imagecodecs.jpeg2k_encode(GRAY.astype(np.uint32) * 4000, codecformat="J2K", bitspersample=20)
    bits = {"BitsAllocated": 32, "BitsStored": 20, "HighBit": 19}
    data = pictures.dicom(GRAY, syntax=JPEG2000Lossless, codestream=deep, **bits)
    for read in (describe, decode):
        with pytest.raises(BrokenImage, match="16 bits"):
            read(data)


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_codestream_of_another_transfer_syntax_is_not_decoded(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dicom, "pixel_array", lambda *_, **__: pytest.fail("it was decoded"))
    syntax, _, bits, _ = COMPRESSED[name]
    other = "JPEG-LS, 12 bits" if name.startswith("JPEG 2000") else "JPEG 2000, 8 bits"
    with pytest.raises(BrokenImage):
        decode(pictures.dicom(GRAY, syntax=syntax, codestream=COMPRESSED[other][1], **bits))


def test_warnings_of_pydicom_do_not_reach_the_log(caplog: pytest.LogCaptureFixture):
    with warnings.catch_warnings(record=True) as warned:
        decode(pictures.dicom(GRAY, BodyPartExamined="doe^jane, born 1.4.1950"))
    assert not caplog.records
    assert not warned


def test_a_lookup_table_is_applied_before_a_window():
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = np.arange(65_535, 0, -16).astype("<u2").tobytes()
    looked_up = decode(pictures.dicom(GRAY, VOILUTSequence=[table], WindowCenter=10, WindowWidth=1))
    assert np.corrcoef(looked_up.pixels.ravel(), GRAY.ravel())[0, 1] < -0.99
