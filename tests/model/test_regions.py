import numpy as np

from model.letterbox import Letterbox
from model.regions import MOST_REGIONS, find_regions, spread_heat


def test_a_patch_becomes_a_box_in_the_pixels_of_the_image():
    cells = np.zeros((8, 8))
    cells[2:4, 3] = [0.9, 0.6]
    place = Letterbox.of(256, 512, 128)  # a quarter of its size, 32 cells' pixels of margin left and right
    (region,) = find_regions(cells, 0.5, place, (256, 512))
    assert region.box == ((3 * 16 - 32) * 4, 2 * 16 * 4, 64, 128)
    assert region.score == 0.9


def test_cells_that_touch_at_a_corner_alone_are_two_regions_best_first():
    cells = np.zeros((8, 8))
    cells[1, 1], cells[2, 2] = 0.6, 0.8
    regions = find_regions(cells, 0.5, Letterbox.of(128, 128, 128), (128, 128))
    assert [region.score for region in regions] == [0.8, 0.6]


def test_what_lies_in_the_margin_is_no_region():
    cells = np.zeros((8, 8))
    cells[:, 0] = 0.9
    assert find_regions(cells, 0.5, Letterbox.of(256, 512, 128), (256, 512)) == ()


def test_there_are_five_regions_at_most():
    cells = np.zeros((8, 8))
    cells[::2, ::2] = np.linspace(0.5, 1, 16).reshape(4, 4)
    regions = find_regions(cells, 0.5, Letterbox.of(128, 128, 128), (128, 128))
    assert len(regions) == MOST_REGIONS
    assert regions[0].score == 1


def test_heat_covers_the_picture_without_its_margins():
    cells = np.zeros((8, 8), np.float32)
    cells[4, 4] = 1
    heat = spread_heat(cells, Letterbox.of(256, 512, 128))
    assert heat.shape == (128, 64)
    assert np.unravel_index(heat.argmax(), heat.shape)[0] in range(64, 80)
