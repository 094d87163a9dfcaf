"""Every display setting of one picture leads to the same grays, or is left out with a sentence."""

import io

import numpy as np
import pytest
from pydicom import Dataset, Sequence, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from model.decode.image import BrokenImage, Radiograph, decode, decode_values
from model.decode.scaling import stretch
from model.decode_processes.pool import Decoders
from tests import pictures

GRAY = pictures.gray()
SHOWN = stretch(GRAY)
TWELVE = GRAY.astype(np.uint16) * 16
EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
SIXTEEN_BITS = {"BitsAllocated": 16, "BitsStored": 16, "HighBit": 15}


def stored(values: np.ndarray, **attributes: object) -> bytes:
    return pictures.dicom(GRAY, PixelData=values.tobytes(), **attributes)


def assert_shows_gray(radiograph: Radiograph, within: int = 1) -> None:
    height, width = radiograph.pixels.shape
    assert np.abs(radiograph.pixels.astype(int) - SHOWN[:height, :width]).max() <= within


def table(entries: np.ndarray, bits: int, first: int = 0, kind: str = "US") -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", kind, [len(entries) % 65536, first, bits])
    data = entries.tobytes()
    item.add_new("LUTData", "OW", data + b"\0" * (len(data) % 2))
    return [item]


def groups(**attributes: object) -> list[Dataset]:
    """One functional group that holds each attribute's items."""
    group = Dataset()
    for name, values in attributes.items():
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        setattr(group, name, [item])
    return [group]


@pytest.mark.parametrize(("slope", "intercept"), [(-1, 4080), (-0.5, 3000), (-10, 0)])
@pytest.mark.parametrize("windowed", [True, False])
def test_a_negative_slope_shows_low_values_black(slope: float, intercept: int, windowed: bool):
    ends = sorted((slope * 0 + intercept, slope * 4080 + intercept))
    window = {"WindowCenter": sum(ends) / 2, "WindowWidth": ends[1] - ends[0] + 1} if windowed else {}
    file = stored(4080 - TWELVE, RescaleSlope=slope, RescaleIntercept=intercept, **window)
    assert_shows_gray(decode(file))


@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (None, 0), (1, None)])
def test_an_empty_slope_is_one_and_an_empty_intercept_zero(slope: int | None, intercept: int | None):
    file = stored(TWELVE, RescaleSlope=slope, RescaleIntercept=intercept)
    radiograph = decode(file)
    assert_shows_gray(radiograph)
    assert radiograph.left_out == ()


@pytest.mark.parametrize(
    ("center", "width"), [("0", "0"), ("100", "-5"), ("", ""), ("90000", "10"), ("", "10")]
)
def test_a_window_without_contrast_is_left_out_with_a_sentence(center: str, width: str):
    radiograph = decode(stored(TWELVE, WindowCenter=center or None, WindowWidth=width or None))
    assert_shows_gray(radiograph)
    assert len(radiograph.left_out) == (0 if not center and not width else 1)


def test_thousands_of_unreadable_tables_are_left_out_with_one_sentence(decoders: Decoders):
    tables = Sequence([Dataset() for _ in range(4_000)])
    radiograph = decoders.decode(pictures.dicom(pictures.gray(), VOILUTSequence=tables), "clinic")
    assert radiograph.left_out == ("A look-up table cannot be read: it was left out.",)


def test_a_slope_of_zero_is_left_out_with_a_sentence():
    radiograph = decode(stored(TWELVE, RescaleSlope=0, RescaleIntercept=7))
    assert_shows_gray(radiograph)
    assert radiograph.left_out == ("The Rescale Slope is 0: it was left out.",)


def test_a_window_narrower_than_one_value_is_applied():
    file = stored(
        TWELVE, RescaleSlope="0.000244140625", RescaleIntercept=0, WindowCenter="0.498", WindowWidth="0.9961"
    )
    radiograph = decode(file)
    assert_shows_gray(radiograph)
    assert radiograph.left_out == ()


@pytest.mark.parametrize("written", [b"2040,5", b"2040.5"])
def test_a_decimal_comma_is_a_point(written: bytes):
    file = stored(TWELVE, WindowCenter="2040.5", WindowWidth="1021.0").replace(b"2040.5", written)
    clipped = np.clip((TWELVE - 2040.0) / 1020 + 0.5, 0, 1)
    assert np.abs(decode(file).pixels.astype(int) - stretch(clipped)).max() <= 1


def test_the_first_window_that_can_be_applied_is():
    file = stored(TWELVE, WindowCenter=["", "2040"], WindowWidth=["", "4081"])
    radiograph = decode(file)
    assert_shows_gray(radiograph)
    assert radiograph.left_out == ()


@pytest.mark.parametrize(
    ("function", "sentences"), [("", 0), ("LINEAR", 0), ("LINEAR_EXACT", 0), ("CUBIC", 1)]
)
def test_an_empty_or_unknown_window_function_is_linear(function: str, sentences: int):
    file = stored(TWELVE, WindowCenter="2040", WindowWidth="4081", VOILUTFunction=function)
    radiograph = decode(file)
    assert_shows_gray(radiograph)
    assert len(radiograph.left_out) == sentences


def test_a_sigmoid_window_bends_the_grays():
    shown = decode(stored(TWELVE, WindowCenter="2040", WindowWidth="2000", VOILUTFunction="SIGMOID")).pixels
    bent = stretch(1 / (1 + np.exp(-4 * (TWELVE - 2040.0) / 2000)))
    assert np.abs(shown.astype(int) - bent).max() <= 1


@pytest.mark.parametrize("sequence", ["ModalityLUTSequence", "VOILUTSequence"])
@pytest.mark.parametrize(
    ("bits", "entries"),
    [
        (8, (np.arange(4096) // 16).astype(np.uint8)),
        (8, (np.arange(4096) // 16).astype("<u2")),
        (12, np.arange(4096).astype("<u2")),
        (10, (np.arange(4096) // 4).astype("<u2")),
        (16, (np.arange(4096) * 16).astype("<u2")),
    ],
    ids=["8 packed", "8 in words", "12", "10", "16"],
)
def test_a_table_of_any_depth_is_applied(sequence: str, bits: int, entries: np.ndarray):
    radiograph = decode(stored(TWELVE, **{sequence: table(entries, bits)}))
    assert_shows_gray(radiograph, within=2)
    assert radiograph.left_out == ()


def test_a_table_of_65536_entries_begins_below_zero_for_signed_values():
    entries = np.arange(65536).astype("<u2")
    signed = TWELVE.astype("<i2") - 2000
    file = stored(
        signed, **SIXTEEN_BITS, PixelRepresentation=1, VOILUTSequence=table(entries, 16, -32768, "SS")
    )
    assert_shows_gray(decode(file))


def test_a_table_that_is_too_short_is_left_out_and_the_window_applied():
    short = table(np.arange(4096).astype("<u2"), 12)
    short[0].LUTData = b"\0" * 100
    radiograph = decode(stored(TWELVE, VOILUTSequence=short, WindowCenter="2040", WindowWidth="4081"))
    assert_shows_gray(radiograph)
    assert radiograph.left_out == ("A look-up table cannot be read: it was left out.",)


@pytest.mark.parametrize("groups_of", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
def test_functional_groups_rescale_and_window(groups_of: str):
    given = groups(
        PixelValueTransformationSequence={"RescaleSlope": -1, "RescaleIntercept": 4080},
        FrameVOILUTSequence={"WindowCenter": 2040, "WindowWidth": 4081},
    )
    assert_shows_gray(decode(stored(4080 - TWELVE, NumberOfFrames=1, **{groups_of: given})))


def overlaid() -> np.ndarray:
    """TWELVE with an overlay in bit 12 and rubbish in bit 15."""
    high = np.zeros_like(TWELVE)
    high[20:60, 30:90] = 1 << 12
    high[::7] |= 1 << 15
    return TWELVE | high


def compressed(values: np.ndarray, syntax: str, **attributes: object) -> bytes:
    imagecodecs = pytest.importorskip("imagecodecs", reason="COMPRESSED DICOM WAS NOT TRIED: no imagecodecs")
    if syntax == RLELossless:
        dataset = dcmread(io.BytesIO(stored(values, **SIXTEEN_BITS)))
        dataset.compress(RLELossless)
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    elif syntax == JPEGLSLossless:
        frame = imagecodecs.jpegls_encode(values)
    else:
        frame = imagecodecs.jpeg2k_encode(values, codecformat="j2k", reversible=True, level=0)
    return pictures.dicom(GRAY, codestream=frame, syntax=syntax, **attributes)


@pytest.mark.parametrize("syntax", [None, RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_bits_that_are_no_pixels_are_left_out(syntax: str | None):
    file = compressed(overlaid(), syntax) if syntax else stored(overlaid())
    assert_shows_gray(decode(file))


def test_bits_below_the_pixels_are_left_out():
    assert_shows_gray(decode(stored(TWELVE << 4 | 0b1010, HighBit=15)))


@pytest.mark.parametrize("signed", [0, 1])
def test_rle_has_pixels_in_the_bits_of_an_uncompressed_file(signed: int):
    values = TWELVE << 4 | 0b1010
    as_written = {"HighBit": 15, "PixelRepresentation": signed}
    plain, packed = stored(values, **as_written), compressed(values, RLELossless, **as_written)
    assert np.array_equal(decode(packed).pixels, decode(plain).pixels)
    assert np.array_equal(decode_values(packed).pixels, decode_values(plain).pixels)


def test_signed_values_keep_their_sign_in_fewer_bits():
    signed = (TWELVE.astype("<i2") - 2048).view("<u2") & 0xFFF
    signed[::5] |= 0x7000
    assert_shows_gray(decode(stored(signed, PixelRepresentation=1)))


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("ends", [(-30000, None), (-30000, -29000), (-29000, -30000)])
def test_padding_is_black_and_takes_no_contrast(photometric: str, ends: tuple[int, int | None]):
    values = TWELVE.astype("<i2") if photometric == "MONOCHROME2" else 4080 - TWELVE.astype("<i2")
    values[:, :16] = -30000
    limits = {} if ends[1] is None else {"PixelPaddingRangeLimit": ends[1]}
    file = stored(
        values,
        **SIXTEEN_BITS,
        PixelRepresentation=1,
        PhotometricInterpretation=photometric,
        PixelPaddingValue=ends[0],
        **limits,
    )
    pixels = decode(file).pixels
    assert not pixels[:, :16].any()
    assert np.abs(pixels[:, 16:].astype(int) - stretch(GRAY[:, 16:])).max() <= 1


def test_a_picture_that_is_all_padding_is_shown():
    assert_shows_gray(decode(stored(TWELVE, PixelPaddingValue=0, PixelPaddingRangeLimit=4095)))


def test_more_bytes_than_the_header_asks_for_are_left_out():
    assert_shows_gray(decode(pictures.dicom(GRAY, PixelData=TWELVE.tobytes() + b"\7" * 512)))


def test_a_missing_pad_byte_changes_nothing():
    odd = GRAY[:95, :127]
    whole = pictures.dicom(GRAY, PixelData=odd.tobytes(), Rows=95, Columns=127, **EIGHT_BITS)
    at = whole.rindex(b"\xe0\x7f\x10\x00OW") + 8
    size = odd.size.to_bytes(4, "little")
    unpadded = whole[:at] + size + whole[at + 4 : at + 4 + odd.size]
    assert_shows_gray(decode(unpadded), within=2)
    with pytest.raises(BrokenImage):
        decode(unpadded[:-1])


@pytest.mark.parametrize("skipped", ["preamble", "preamble and meta information"])
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", ImplicitVRLittleEndian])
def test_a_data_set_without_its_preamble_is_read(skipped: str, syntax: str):
    file = pictures.dicom(GRAY, syntax=syntax)
    start = 132 if skipped == "preamble" else 132 + 12 + int.from_bytes(file[140:144], "little")
    radiograph = decode(file[start:])
    assert radiograph.format == "DICOM"
    assert_shows_gray(radiograph)


@pytest.mark.parametrize("kept", ["whole", "cut"])
def test_pixels_need_no_delimiter_but_have_to_be_whole(kept: str):
    file = compressed(TWELVE, RLELossless)
    assert file.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    if kept == "whole":
        assert_shows_gray(decode(file[:-8]))
    else:
        with pytest.raises(BrokenImage):
            decode(file[:-100])


@pytest.mark.parametrize("said", ["RGB", "YBR_FULL_422", "YBR_FULL"])
@pytest.mark.parametrize("kept_rgb", [True, False])
def test_a_gray_jpeg_is_gray_under_any_name_of_its_samples(said: str, kept_rgb: bool):
    file = io.BytesIO()
    options = {"keep_rgb": True} if kept_rgb else {}
    pictures.Image.fromarray(GRAY).convert("RGB").save(file, "JPEG", quality=95, **options)
    marker = file.getvalue()
    without = marker[:2] + marker[4 + int.from_bytes(marker[4:6], "big") :] if marker[3] == 0xE0 else marker
    colours = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": said}
    radiograph = decode(
        pictures.dicom(GRAY, codestream=without, syntax=JPEGBaseline8Bit, **EIGHT_BITS, **colours)
    )
    assert radiograph.chroma < 0.01
    assert np.abs(radiograph.pixels.astype(int) - GRAY).mean() < 3


def test_big_endian_tables_and_pixels_are_read():
    entries = (np.arange(4096) * 16).astype(">u2")
    dataset = dcmread(io.BytesIO(pictures.dicom(GRAY)))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    dataset.PixelData = TWELVE.astype(">u2").tobytes()
    dataset.VOILUTSequence = table(entries, 16)
    # What was not read yet would be copied in the old byte order.
    list(dataset)
    dataset.set_original_encoding(False, False)
    file = io.BytesIO()
    dataset.save_as(file)
    assert_shows_gray(decode(file.getvalue()))


def test_several_frames_behind_one_are_not_taken_for_excess():
    with pytest.raises(BrokenImage, match="several frames"):
        decode(pictures.dicom(GRAY, frames=2))


def test_a_table_may_begin_below_zero_where_no_pixel_is_negative():
    entries = np.arange(65536)[::-1].astype("<u2")
    signed = TWELVE.astype("<i2")
    for kind in ("ModalityLUTSequence", "VOILUTSequence"):
        file = stored(
            signed, **SIXTEEN_BITS, PixelRepresentation=1, **{kind: table(entries, 16, -1024, "SS")}
        )
        assert np.abs((255 - decode(file).pixels.astype(int)) - SHOWN).max() <= 1


def test_a_lossless_jpeg_that_was_cut_off_is_refused():
    imagecodecs = pytest.importorskip("imagecodecs", reason="COMPRESSED DICOM WAS NOT TRIED: no imagecodecs")
    frame = imagecodecs.jpeg8_encode(TWELVE, bitspersample=12, lossless=True, predictor=1)
    whole = pictures.dicom(GRAY, codestream=frame, syntax=JPEGLosslessSV1)
    assert_shows_gray(decode(whole))
    for cut in (whole[:-3000], pictures.dicom(GRAY, codestream=frame[:-3000], syntax=JPEGLosslessSV1)):
        with pytest.raises(BrokenImage):
            decode(cut)
