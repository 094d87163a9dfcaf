"""The heat as a layer of its own."""

import io

import numpy as np
import pytest
from PIL import Image

from model.heat_layer import draw_heat_layer


def layer(size: tuple[int, int], field: tuple[int, int, int, int], peak: float = 0.9) -> np.ndarray:
    cells = np.zeros((16, 16), np.float32)
    cells[10:12, 5:7] = peak
    with Image.open(io.BytesIO(draw_heat_layer(cells, field, size))) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGBA"), int)


def test_heat_lies_over_the_field_that_the_network_saw():
    drawn = layer((500, 400), (200, 100, 240, 240))
    assert drawn.shape == (400, 500, 4)
    rows, columns = np.nonzero(drawn[..., 3] > 60)
    # Cells 10 and 11 down, 5 and 6 across, of 16 over 240 pixels.
    assert rows.mean() == pytest.approx(100 + 11 * 15, abs=4)
    assert columns.mean() == pytest.approx(200 + 6 * 15, abs=4)
    outside = drawn[..., 3].copy()
    outside[100:340, 200:440] = 0
    assert not outside.any(), "where the network saw nothing the layer is clear"


def test_the_layer_has_the_size_of_the_overlay():
    assert layer((3200, 2000), (0, 0, 3200, 2000)).shape == (1000, 1600, 4)


def test_heat_over_a_field_of_a_narrow_picture_lies_where_it_belongs():
    drawn = layer((33, 5000), (0, 3400, 33, 100))[..., 3]
    assert drawn.shape == (1600, 11)
    rows, _ = np.nonzero(drawn > 60)
    # Cells 10 and 11 down, of 16 over 100 pixels.
    assert rows.mean() == pytest.approx((3400 + 11 * 100 / 16) * 1600 / 5000, abs=2)


def test_a_faint_peak_is_drawn_faintly_and_none_not_at_all():
    strong, faint = (layer((320, 320), (0, 0, 320, 320), peak)[..., 3].max() for peak in (0.9, 0.1))
    assert strong > 240
    assert 60 < faint < 140
    assert layer((320, 320), (0, 0, 320, 320), 0.0)[..., 3].max() == 0
