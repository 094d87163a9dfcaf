import io

import numpy as np
import pytest
from PIL import Image

from model.decode.image import Radiograph
from model.overlay import LONGEST_SIDE, draw_overlay
from model.prediction import Prediction, format_probability
from model.regions import ScoredRegion
from model.synthetic import draw_forearm


def overlay(
    finding: str,
    pixels: np.ndarray,
    regions: tuple[ScoredRegion, ...] = (),
    field: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    cells = np.zeros((16, 16), np.float32)
    cells[10:12, 5:7] = 0.9
    whole = (0, 0, pixels.shape[1], pixels.shape[0])
    data = draw_overlay(
        Radiograph(pixels, "PNG", 0.0, ""),
        Prediction(finding, 0.6, regions, cells, field or whole, "untrained 0.0.0"),
    )
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert not picture.info
        return np.asarray(picture.convert("RGB"), int)


def test_heat_and_region_are_drawn_where_they_are():
    pixels = draw_forearm(2, size=(320, 240)).pixels
    picture = overlay("fracture", pixels, (ScoredRegion((60, 200, 60, 40), 0.9),))
    assert picture.shape == (320, 240, 3)
    redness = picture[..., 0] - picture[..., 2]
    assert redness[205:230, 82:96].min() > 20
    assert np.abs(picture[60:140, 120:180] - pixels[60:140, 120:180, None]).max() == 0


def test_heat_lies_over_the_field_that_the_network_saw():
    pixels = np.full((400, 500), 90, np.uint8)
    picture = overlay("fracture", pixels, field=(200, 100, 240, 240))
    rows, columns = np.nonzero(picture[..., 0] - picture[..., 2] > 20)
    # Cells 10 and 11 down, 5 and 6 across, of 16 over 240 pixels.
    assert rows.mean() == pytest.approx(100 + 11 * 15, abs=4)
    assert columns.mean() == pytest.approx(200 + 6 * 15, abs=4)


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.004, "< 0.01"), (0.01, "0.01"), (0.5, "0.50"), (0.99, "0.99"), (0.995, "> 0.99")],
)
def test_a_probability_at_the_edge_is_shown_as_a_bound(probability: float, words: str):
    assert format_probability(probability) == words


def test_no_fracture_leaves_the_radiograph_as_it_is_but_for_its_caption():
    pixels = draw_forearm(2, fracture=False, size=(320, 240)).pixels
    changed = np.abs(overlay("no_fracture", pixels) - pixels[..., None]).max(axis=2) > 0
    rows, columns = np.nonzero(changed)
    assert changed.any()
    assert len({0, 319} & {rows.min(), rows.max()}) == 1, "the caption stands in a corner"
    assert np.ptp(rows) < 110
    assert len({0, 239} & {columns.min(), columns.max()}) == 1


@pytest.mark.parametrize("size", [(32, 32), (32, 900), (900, 32), (2000, 1000)])
def test_any_size_is_drawn_and_the_largest_scaled_down(size: tuple[int, int]):
    picture = overlay(
        "indeterminate", np.full(size, 90, np.uint8), (ScoredRegion((0, 0, size[1], size[0]), 0.5),)
    )
    scale = min(1, LONGEST_SIDE / max(size))
    assert picture.shape == (size[0] * scale, size[1] * scale, 3)


@pytest.mark.parametrize("row", [slice(0, 120), slice(-120, None)])
@pytest.mark.parametrize("column", [slice(0, 150), slice(-150, None)])
def test_the_caption_stands_where_nothing_is_to_be_seen(row: slice, column: slice):
    pixels = np.random.default_rng(0).integers(90, 250, (400, 400), np.uint8)
    pixels[row, column] = 5
    changed = np.abs(overlay("no_fracture", pixels) - pixels[..., None]).max(axis=2) > 0
    assert changed[row, column].any()
    changed[row, column] = False
    assert not changed.any()
