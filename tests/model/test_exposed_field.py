"""One picture, one answer: wrapped, stretched or inverted, it has the same exposed field."""

import numpy as np
import pytest
from PIL import Image

from model.decode.image import decode
from model.exposed_field import _percentiles, _slope, find_field
from model.letterbox import to_square
from model.synthetic import draw_forearm
from tests import pictures
from tests.xrays import XRAYS, needs_xrays

FOREARM = draw_forearm(3, size=(400, 300)).pixels


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of the network's inputs of two pictures, in grays of 255."""
    return float(np.abs(to_square(one, 96).astype(float) - to_square(other, 96)).mean())


def test_a_picture_and_its_negative_are_seen_alike():
    assert apart(FOREARM, 255 - FOREARM) < 1
    assert find_field(FOREARM).negative != find_field(255 - FOREARM).negative


@pytest.mark.parametrize(("contrast", "offset"), [(0.3, 10), (0.5, 100), (0.2, 200)])
def test_a_dim_picture_is_seen_like_a_bright_one(contrast: float, offset: int):
    dim = np.round(FOREARM * contrast + offset).astype(np.uint8)
    assert apart(FOREARM, dim) < 4


@pytest.mark.parametrize("gray", [0, 128, 255])
@pytest.mark.parametrize("sides", [((40, 40), (40, 40)), ((0, 90), (0, 0)), ((0, 0), (60, 5))])
def test_a_border_changes_next_to_nothing(gray: int, sides: tuple[tuple[int, int], ...]):
    assert apart(FOREARM, np.pad(FOREARM, sides, constant_values=gray)) < 6


def test_a_box_finds_its_way_through_a_border():
    bordered = np.pad(FOREARM, ((50, 20), (70, 10)), constant_values=255)
    plain, field = find_field(FOREARM), find_field(bordered)
    assert field.left - 70 == pytest.approx(plain.left, abs=4)
    assert field.top - 50 == pytest.approx(plain.top, abs=4)
    assert field.left + field.width <= bordered.shape[1]
    assert field.top + field.height <= bordered.shape[0]


@pytest.mark.parametrize("shape", [(32, 32), (33, 900), (900, 33), (32, 6000), (6000, 32)])
@pytest.mark.parametrize("gray", [0, 77, 255])
def test_a_blank_picture_is_taken_whole(shape: tuple[int, int], gray: int):
    field = find_field(np.full(shape, gray, np.uint8))
    assert (field.left, field.top, field.width, field.height) == (0, 0, shape[1], shape[0])


def test_a_hot_pixel_takes_no_contrast_away():
    dim = np.round(FOREARM * 0.4).astype(np.uint8)
    hot = dim.copy()
    hot[5, 5] = 255
    assert apart(dim, hot) < 4


def of_16_bits(values: np.ndarray) -> bytes:
    """A PNG of whole numbers (height, width)."""
    return pictures.encoded(values.astype(np.uint16))


def deliveries(gray: np.ndarray) -> dict[str, bytes]:
    """Files of one X-ray, uint8 (height, width) from 0 to 255; headers are right, wrong or silent."""
    values = gray.astype(int)
    dim = values * 120 + 9000
    said = {
        f"{name}, {'a negative' if turned else 'as it is'}": pictures.dicom(
            255 - gray if turned else gray, PhotometricInterpretation=name
        )
        for name in ("MONOCHROME1", "MONOCHROME2", "")
        for turned in (False, True)
    }
    return said | {
        "DICOM, turned once more": pictures.dicom(gray, PresentationLUTShape="INVERSE"),
        "DICOM, a falling slope": pictures.dicom(gray, RescaleSlope=-1, RescaleIntercept=4095),
        "DICOM, dim": pictures.dicom(gray, PixelData=(dim // 16).astype("<u2").tobytes()),
        "PNG, a negative": pictures.encoded(255 - gray),
        "PNG of 16 bits": of_16_bits(values * 257),
        "PNG of 16 bits, a negative": of_16_bits(65535 - values * 257),
        "TIFF, white is 0": pictures.encoded(255 - gray, "TIFF", tiffinfo={262: 0}),
        "JPEG, a negative": pictures.encoded(255 - gray, "JPEG", quality=98),
    }


def assert_each_delivery_is_seen_alike(gray: np.ndarray) -> None:
    gray = np.round((gray.astype(float) - gray.min()) * (255 / np.ptp(gray))).astype(np.uint8)
    for name, file in deliveries(gray).items():
        assert apart(gray, decode(file).pixels) < 3, name


def test_the_picture_decides_its_polarity_whatever_a_header_says():
    assert_each_delivery_is_seen_alike(FOREARM)


@needs_xrays
def test_real_xrays_are_seen_alike_whatever_a_header_says():
    for path in sorted(XRAYS.iterdir())[::400]:
        assert_each_delivery_is_seen_alike(decode(path.read_bytes()).pixels)


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize(("contrast", "offset"), [(0.4, 60), (0.6, 20)])
def test_a_dim_picture_is_the_same_in_16_and_in_8_bits(contrast: float, offset: int, negative: bool):
    gray = 255 - FOREARM if negative else FOREARM
    deep = np.round((gray * contrast + offset) * 257).astype(int)
    shallow = np.round(deep / 257).astype(np.uint8)
    assert apart(shallow, decode(of_16_bits(deep)).pixels) < 1
    # With more levels between the same two tones.
    assert apart(FOREARM, decode(of_16_bits(deep)).pixels) < 4


@needs_xrays
def test_real_xrays_are_seen_alike_as_their_negatives_and_in_16_bits(tmp_path):
    negatives = 0
    paths = sorted(XRAYS.iterdir())[::60]
    for path in paths:
        pixels = decode(path.read_bytes()).pixels
        assert apart(pixels, 255 - pixels) < 1
        file = tmp_path / "deep.png"
        Image.fromarray(pixels.astype(np.uint16) * 257).save(file)
        assert np.array_equal(pixels, decode(file.read_bytes()).pixels)
        # Grays shifted by four bits miss the full range by 15 of 4095: a row of the field may come or go.
        Image.fromarray(pixels.astype(np.uint16) * 16).save(file)
        assert apart(pixels, decode(file.read_bytes()).pixels) < 5
        negatives += find_field(pixels).negative
    assert negatives <= 0.03 * len(paths), f"{negatives} of {len(paths)} X-rays are taken for negatives"


@pytest.mark.parametrize("levels", [1, 2, 256])
def test_percentiles_and_slopes_are_numpys_to_the_last_bit(levels: int):
    # Else bundles would see other pictures than they have learned from.
    random = np.random.default_rng(levels)
    for size in random.integers(9, 300, (50, 2)):
        tones = random.integers(0, levels, size).astype(np.uint8)
        for shares in ((1, 99), (0.5, 99.5)):
            assert _percentiles(tones, shares) == tuple(np.percentile(tones, shares))
        gray = tones.astype(np.float32) / 255
        assert np.array_equal(_slope(gray), np.hypot(*np.gradient(gray)))
