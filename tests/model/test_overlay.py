import io
import json

import numpy as np
import pytest
from PIL import Image

from model.decode.image import Radiograph
from model.overlay import LONGEST_SIDE, draw_overlay
from model.prediction import OperatingPoints, Outline, Outlines, format_probability, outline_regions
from model.regions import ScoredRegion
from model.synthetic import draw_forearm

POINTS = OperatingPoints(0.2, 0.6)


def overlay(finding: str, pixels: np.ndarray, *regions: Outline) -> np.ndarray:
    data = draw_overlay(
        Radiograph(pixels, "PNG", 0.0, ""), Outlines(finding, 0.6, "untrained 0.0.0", regions)
    )
    with Image.open(io.BytesIO(data)) as picture:
        assert picture.format == "PNG"
        assert not picture.info
        return np.asarray(picture.convert("RGB"), int)


def lines_of(picture: np.ndarray) -> np.ndarray:
    """Where the colour of the outlines is."""
    return (picture == (255, 205, 90)).all(axis=2)


def test_no_pixel_in_a_box_is_painted_and_its_outline_runs_around_it():
    pixels = draw_forearm(2, size=(320, 240)).pixels
    picture = overlay("fracture", pixels, Outline((60, 200, 60, 40), 0.9, True))
    assert picture.shape == (320, 240, 3)
    assert np.array_equal(picture[200:240, 60:120], np.repeat(pixels[200:240, 60:120, None], 3, axis=2))
    lines = lines_of(picture)
    for line in (lines[199, 59:121], lines[240, 59:121], lines[199:241, 59], lines[199:241, 120]):
        assert line.all()
    assert not lines[202:230, :59].any()


def test_boxes_that_overlap_leave_both_insides_as_they_were():
    pixels = np.random.default_rng(1).integers(0, 200, (600, 600), np.uint8)
    boxes = [(200, 200, 100, 100), (250, 250, 100, 100), (260, 180, 20, 30)]
    picture = overlay("fracture", pixels, *(Outline(box, 0.7, True) for box in boxes))
    for x, y, width, height in boxes:
        inside = (slice(y, y + height), slice(x, x + width))
        assert np.array_equal(picture[inside][..., 0], pixels[inside])
    assert lines_of(picture).any()


@pytest.mark.parametrize(("width", "height"), [(33, 5000), (5000, 33)])
def test_a_box_in_a_narrow_picture_lies_where_it_belongs(width: int, height: int):
    pixels = np.zeros((height, width), np.uint8)
    at, length = (0, 3000, width, 1000), max(width, height)
    box = at if height == length else (at[1], at[0], at[3], at[2])
    picture = lines_of(overlay("fracture", pixels, Outline(box, 0.7, True)))
    first, last = round(3000 / length * LONGEST_SIDE), round(4000 / length * LONGEST_SIDE)
    line = picture.all(axis=1 if height == length else 0)
    assert line[[first - 1, last]].all()


def test_a_doubtful_outline_is_dashed_and_a_certain_one_is_not():
    pixels = np.zeros((1000, 1000), np.uint8)
    box = (100, 100, 400, 400)
    certain, doubtful = (
        lines_of(overlay("fracture", pixels, Outline(box, 0.7, solid)))[500] for solid in (True, False)
    )
    assert certain[100:500].all()
    assert 0.3 < doubtful[100:500].mean() < 0.8


@pytest.mark.parametrize(
    ("score", "drawn"),
    [(0.6, [True]), (0.9, [True]), (0.5999, [False]), (0.2, [False]), (0.1999, []), (0.0, [])],
)
def test_the_operating_points_say_how_a_region_is_drawn(score: float, drawn: list[bool]):
    region = ScoredRegion((1, 2, 3, 4), score)
    outlines = outline_regions([region], "fracture", POINTS)
    assert [outline.solid for outline in outlines] == drawn
    assert all((outline.box, outline.score) == (region.box, score) for outline in outlines)


@pytest.mark.parametrize(("finding", "solid"), [("fracture", True), ("indeterminate", False)])
def test_without_operating_points_the_finding_says_how_they_are_drawn(finding: str, solid: bool):
    (outline,) = outline_regions([ScoredRegion((1, 2, 3, 4), 0.01)], finding, None)
    assert outline.solid is solid


def test_outlines_are_the_same_after_json():
    outlines = Outlines("fracture", 0.6, "m 1", (Outline((1, 2, 3, 4), 0.5, True),))
    assert Outlines.from_json(json.loads(json.dumps(outlines.to_json()))) == outlines


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
    whole = Outline((0, 0, size[1], size[0]), 0.5, False)
    picture = overlay("indeterminate", np.full(size, 90, np.uint8), whole)
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


def test_the_caption_avoids_a_box_even_in_the_emptiest_corner():
    pixels = np.random.default_rng(0).integers(90, 250, (400, 400), np.uint8)
    pixels[-120:, :150] = 5
    box = (10, 300, 100, 90)
    picture = overlay("fracture", pixels, Outline(box, 0.7, True))
    assert np.array_equal(picture[300:390, 10:110, 0], pixels[300:390, 10:110])
