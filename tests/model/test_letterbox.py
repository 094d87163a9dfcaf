"""The pixels of the one pixel path, pinned: a wrong division by 255 would ruin a model without an error."""

import numpy as np
import pytest

from model.exposed_field import ExposedField
from model.letterbox import PREPROCESSING_VERSION, Letterbox, to_input, to_square

RAMP = np.add.outer(np.arange(0, 200, 2), np.arange(0, 50)).astype(np.uint8)
"""100 high, 50 wide."""


WHOLE = ExposedField(0, 0, 50, 100, dark=0.0, bright=255.0, negative=False)


def test_pixels_are_pinned():
    """Change these values only together with PREPROCESSING_VERSION: trained bundles depend on them."""
    assert PREPROCESSING_VERSION == 2
    square = to_square(RAMP, 32, WHOLE)
    # By hand: 100 rows on 32 put the centre of row 16 at y = 51.1, and there 2y + x begins with 103.
    assert square[[0, 5, 16, 31], 8].tolist() == [3, 34, 103, 197]
    assert square[[0, 5, 16, 31], 23].tolist() == [50, 81, 150, 244]
    assert set(square[:, :8].ravel()) == set(square[:, 24:].ravel()) == {0}


def test_the_field_is_cut_out_stretched_and_turned_to_positive():
    field = ExposedField(10, 20, 30, 60, dark=50.0, bright=170.0, negative=True)
    square = to_square(RAMP, 60, field)
    assert set(square[:, :15].ravel()) == set(square[:, 45:].ravel()) == {0}
    # Row 20, column 10 holds 50, which is the darkest, and so the brightest of a negative.
    assert square[0, 15] == 255
    assert square[-1, 44] == 0
    assert square[30, 30] == pytest.approx(255 * (170 - int(RAMP[50, 25])) / 120, abs=3)


def test_black_is_minus_one_and_white_is_one():
    picture = np.zeros((64, 64), np.uint8)
    picture[:, 32:] = 255
    square = to_input(picture, 32, ExposedField(0, 0, 64, 64, 0.0, 255.0, False))
    assert square.dtype == np.float32
    assert square.shape == (32, 32, 1)
    assert set(square[:, :15].ravel()) == {-1.0}
    assert set(square[:, 17:].ravel()) == {1.0}


def test_a_field_within_its_picture_maps_boxes_there_and_back():
    place = Letterbox.of(50, 100, 128, x=300, y=20)
    box = (310.0, 40.0, 12.0, 30.0)
    x, y, w, h = place.into(box)
    assert 0 <= x <= x + w <= 128
    assert 0 <= y <= y + h <= 128
    assert place.back((x, y, w, h)) == pytest.approx(box)


@pytest.mark.parametrize(("width", "height"), [(50, 100), (100, 50), (3, 999), (720, 720), (33, 32)])
def test_boxes_come_back_as_they_went_in(width: int, height: int):
    place = Letterbox.of(width, height, 128)
    box = (width * 0.25, height * 0.5, width * 0.3, height * 0.2)
    x, y, w, h = place.into(box)
    assert 0 <= x <= x + w <= 128
    assert 0 <= y <= y + h <= 128
    assert place.back((x, y, w, h)) == pytest.approx(box)


def test_the_shape_of_the_picture_is_kept():
    place = Letterbox.of(50, 100, 128)
    assert (place.inner_width, place.inner_height, place.left, place.top) == (64, 128, 32, 0)
    assert place.crop(np.zeros((128, 128, 3))).shape == (128, 64, 3)
