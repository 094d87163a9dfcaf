"""The values of a picture before its window, as a viewer gets them: equal to numpy's."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut

from model.decode.image import decode, decode_values
from model.decode.pixel_values import PixelValues
from tests import pictures

RAMP = np.linspace(0, 255, 96 * 128).reshape(96, 128).astype(np.uint8)
STORED = RAMP.astype(np.uint16) * 16


def signed(lowest: int = -1000, **attributes: object) -> tuple[np.ndarray, bytes]:
    stored = (np.arange(96 * 128).reshape(96, 128) % 3000 + lowest).astype("<i2")
    kind = {"PixelRepresentation": 1, "BitsStored": 16, "HighBit": 15, "PixelData": stored.tobytes()}
    return stored, pictures.dicom(RAMP, **kind, **attributes)


def before_rescale(values: PixelValues) -> np.ndarray:
    return values.pixels * values.step + values.offset


def tiff(values: np.ndarray, **options: object) -> bytes:
    from tifffile import imwrite

    file = io.BytesIO()
    imwrite(file, values, **options)
    return file.getvalue()


def test_values_of_dicom_are_those_that_are_stored():
    values = decode_values(pictures.dicom(RAMP, WindowCenter=1000, WindowWidth=500))
    assert values.pixels.dtype == np.uint16
    assert np.array_equal(values.pixels, STORED)
    facts = values.facts()
    assert facts == {
        **{"rows": 96, "columns": 128, "bits": 12, "min": 0, "max": 4080, "photometric": "MONOCHROME2"},
        **{"window": [1000, 500], "voi": "LINEAR"},
    }


@pytest.mark.parametrize(("slope", "intercept"), [(1, -1024), (2, 10), (0.25, -3.5), (-1, 4095), (-0.5, 0)])
def test_the_rescale_is_applied_exactly(slope: float, intercept: float):
    file = pictures.dicom(RAMP, RescaleSlope=slope, RescaleIntercept=intercept)
    values = decode_values(file)
    assert np.array_equal(before_rescale(values), STORED.astype(float) * slope + intercept)
    assert (values.lowest, values.highest) == (values.pixels.min(), values.pixels.max())


def test_levels_that_no_pixel_has_do_not_make_a_scale():
    values = decode_values(pictures.dicom(RAMP, RescaleSlope=0.5, RescaleIntercept=0))
    assert values.step == 1.0
    np.testing.assert_array_equal(values.pixels, STORED // 2)


def test_signed_values_are_shifted_and_the_window_with_them():
    stored, file = signed(WindowCenter=100, WindowWidth=400)
    values = decode_values(file)
    assert values.facts()["offset"] == -1000
    assert np.array_equal(values.pixels.astype(int) - 1000, stored)
    assert values.window == (1100, 400)


def test_a_slope_over_16_bits_is_told_as_the_step():
    values = decode_values(pictures.dicom(RAMP, RescaleSlope=100, RescaleIntercept=0))
    assert values.facts()["step"] == 100
    assert np.array_equal(before_rescale(values), STORED * 100.0)


def test_monochrome1_is_told_and_not_inverted():
    values = decode_values(pictures.dicom(RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert values.facts()["photometric"] == "MONOCHROME1"
    assert np.array_equal(values.pixels, STORED)
    assert values.shown()[0, 0] == 255


@pytest.mark.parametrize("name", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_shown_black_and_takes_no_contrast(name: str):
    stored = STORED + 8
    stored[:8], stored[8:16] = 4095, 4000
    file = pictures.dicom(
        RAMP, PixelData=stored.astype("<u2").tobytes(), PixelPaddingValue=4095, PhotometricInterpretation=name
    )
    values = decode_values(file)
    assert values.highest < 4095
    assert values.shown()[:8].max() == 0
    assert np.array_equal(values.pixels[8:], stored[8:])


@pytest.mark.parametrize(
    ("function", "width", "window"),
    [("LINEAR", 500, (1000, 500)), ("LINEAR_EXACT", 500, (1000.5, 501)), ("SIGMOID", 500, (1000.5, 501))],
)
def test_the_window_is_told_as_one_of_the_linear_function(function: str, width: int, window: tuple):
    file = pictures.dicom(RAMP, WindowCenter=1000, WindowWidth=width, VOILUTFunction=function)
    values = decode_values(file)
    assert values.window == window
    assert values.voi == ("LUT" if function == "SIGMOID" else "LINEAR")


@pytest.mark.parametrize("changes", [{}, {"RescaleSlope": 2, "RescaleIntercept": -700}])
def test_the_default_window_shows_what_pydicom_shows(changes: dict):
    file = pictures.dicom(RAMP, WindowCenter=900, WindowWidth=700, **changes)
    header = Dataset()
    header.BitsStored, header.PixelRepresentation = 16, 0
    header.PhotometricInterpretation, header.WindowCenter, header.WindowWidth = "MONOCHROME2", 900, 700
    for name, value in changes.items():
        setattr(header, name, value)
    rescaled = apply_modality_lut(STORED, header)
    shown = apply_voi_lut(rescaled, header)
    gray = (shown - shown.min()) * 255 / np.ptp(shown)
    assert np.abs(decode_values(file).shown() - gray).max() <= 1


def test_a_voi_table_is_told_with_the_straight_line_near_it():
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [256, 1000, 8], np.arange(256, dtype="<u2").tobytes()
    file = pictures.dicom(RAMP, VOILUTSequence=[table])
    values = decode_values(file)
    assert values.voi == "LUT"
    center, width = values.window or (0, 0)
    assert (center, width) == pytest.approx((1128, 255), abs=16)
    assert np.array_equal(values.shown(), decode(file).pixels)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"WindowCenter": 90_000, "WindowWidth": 10},
        {"WindowCenter": 5, "WindowWidth": 0},
        {"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
    ],
)
def test_without_a_window_that_can_be_applied_there_is_none(changes: dict):
    values = decode_values(pictures.dicom(RAMP, **changes))
    assert (values.window, values.voi) == (None, "NONE")
    assert np.array_equal(values.pixels, STORED)


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "BMP", "TIFF"])
def test_8_bits_stay_as_they_are(format_: str):
    file = pictures.encoded(pictures.gray(), format_)
    values = decode_values(file)
    assert np.array_equal(values.pixels, decode(file).pixels)
    assert np.array_equal(values.shown(), decode(file).pixels)
    facts = values.facts()
    assert (facts["bits"], facts["window"], facts["voi"]) == (8, None, "NONE")


@pytest.mark.parametrize("format_", ["PNG", "TIFF"])
def test_16_bits_stay_as_they_are(format_: str):
    deep = (np.arange(96 * 128, dtype=np.uint16).reshape(96, 128) * 5).astype(np.uint16)
    values = decode_values(pictures.encoded(deep, format_))
    assert values.bits == 16
    assert np.array_equal(values.pixels, deep)
    assert (values.lowest, values.highest) == (deep.min(), deep.max())


@pytest.mark.parametrize("kind", [np.int8, np.int16, np.uint32, np.int32, np.float32, np.float64])
def test_other_numbers_are_scaled_and_the_scale_is_told(kind: type):
    numbers = np.linspace(-100 if kind != np.uint32 else 0, 100, 96 * 128).reshape(96, 128)
    numbers = (numbers * (1_000 if np.dtype(kind).itemsize > 2 else 1)).astype(kind)
    values = decode_values(tiff(numbers))
    assert np.abs(before_rescale(values) - numbers).max() <= values.step / 2 * 1.001


def test_numbers_that_are_none_get_the_lowest_value():
    numbers = np.linspace(1, 2, 96 * 128, dtype=np.float32).reshape(96, 128)
    numbers[0, :3] = np.nan, np.inf, -np.inf
    values = decode_values(tiff(numbers))
    assert (values.pixels[0, :3] == 0).all()
    assert values.pixels[-1, -1] == 65_535
    assert (decode_values(tiff(numbers * np.nan)).pixels == 0).all()


def test_a_deep_tiff_that_counts_from_white_is_told_as_monochrome1():
    deep = (np.arange(96 * 128).reshape(96, 128) * 5).astype(np.uint16)
    values = decode_values(tiff(deep, photometric="miniswhite"))
    assert values.facts()["photometric"] == "MONOCHROME1"
    assert np.array_equal(values.pixels, deep)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_values_are_turned_as_the_picture_is(orientation: int):
    numbers = np.arange(96 * 128).reshape(96, 128) % 251
    exif = Image.Exif()
    exif[274] = orientation
    turned = decode(pictures.encoded(numbers.astype(np.uint8), exif=exif)).pixels
    # Of 8 bits with a sign, which Pillow does not read.
    values = decode_values(
        tiff((numbers - 125).astype(np.int8), extratags=[(274, "H", 1, orientation, True)])
    )
    assert np.array_equal(before_rescale(values) + 125, turned)
