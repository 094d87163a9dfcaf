"""The one pixel path, pinned: a stray division by 255 would ruin a model in silence."""

import numpy as np
import pytest

from model.letterbox import PREPROCESSING_VERSION, Letterbox, to_input, to_square

RAMP = np.add.outer(np.arange(0, 200, 2), np.arange(0, 50)).astype(np.uint8)
"""100 high, 50 wide."""


def test_pixels_are_pinned():
    """Change these values only together with PREPROCESSING_VERSION: trained bundles depend on them."""
    assert PREPROCESSING_VERSION == 1
    square = to_square(RAMP, 32)
    # By hand: 100 rows on 32 put the centre of row 16 at y = 51.1, and there 2y + x begins with 103.
    assert square[[0, 5, 16, 31], 8].tolist() == [3, 34, 103, 197]
    assert square[[0, 5, 16, 31], 23].tolist() == [50, 81, 150, 244]
    assert set(square[:, :8].ravel()) == set(square[:, 24:].ravel()) == {0}


def test_black_is_minus_one_and_white_is_one():
    picture = np.zeros((64, 64), np.uint8)
    picture[:, 32:] = 255
    square = to_input(picture, 32)
    assert square.dtype == np.float32
    assert square.shape == (32, 32, 1)
    assert set(square[:, :15].ravel()) == {-1.0}
    assert set(square[:, 17:].ravel()) == {1.0}


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
