from itertools import permutations

import numpy as np
import pytest
from PIL import Image

from model.letterbox import Letterbox
from model.network import STRIDE
from model.regions import MOST_REGIONS, find_patches, find_regions, spread_heat


def bump(side: int, x: float, y: float, radius: float) -> np.ndarray:
    """Make the cells of one fracture: log odds of 8 at its middle, less with the distance from it."""
    middles = np.arange(side // STRIDE) * STRIDE + STRIDE / 2
    distance = np.hypot(*np.meshgrid(middles - x, middles - y))
    return 1 / (1 + np.exp(np.minimum(4 * distance / radius, 30) - 8))


@pytest.mark.parametrize(("x", "y"), [(64, 64), (72, 72), (66, 77), (75, 59)])
def test_a_box_is_finer_than_a_cell(x: int, y: int):
    (region,) = find_regions(bump(128, x, y, 10), 0.5, Letterbox.of(128, 128, 128))
    left, top, w, h = region.box
    assert abs(left + w / 2 - x) <= STRIDE / 4
    assert abs(top + h / 2 - y) <= STRIDE / 4
    assert max(w, h) <= 2.5 * STRIDE


def test_a_region_lies_in_the_pixels_of_the_image():
    # A quarter of its size, with margins of 32 pixels left and right.
    place = Letterbox.of(256, 512, 128)
    (region,) = find_regions(bump(128, 72, 40, 10), 0.5, place)
    x, y, w, h = region.box
    assert abs(x + w / 2 - (72 - 32) * 4) <= 16
    assert abs(y + h / 2 - 40 * 4) <= 16
    assert region.score == bump(128, 72, 40, 10).max()


def test_peaks_with_cold_cells_between_them_are_regions_best_first():
    cells = np.zeros((8, 8))
    cells[1, 1], cells[3, 3] = 0.6, 0.8
    regions = find_regions(cells, 0.5, Letterbox.of(128, 128, 128))
    assert [region.score for region in regions] == [0.8, 0.6]


def test_peaks_with_warm_cells_between_them_are_one_region():
    cells = np.full((8, 8), 0.001)
    cells[3, 2:7] = [0.9, 0.4, 0.95, 0.4, 0.8]
    (region,) = find_regions(cells, 0.5, Letterbox.of(128, 128, 128))
    assert region.score == 0.95
    assert region.box[2] > 4 * STRIDE


def test_every_peak_is_in_a_region_and_none_runs_around_another():
    cells = np.full((20, 20), 1e-5)
    cells[9:12, 2:9] = np.array([[0.9], [1], [0.9]]) * [0.9999, 0.97, 0.96, 0.95, 0.96, 0.97, 0.99999]
    cells[15:18, 13:16] = [[0.9, 0.92, 0.9], [0.92, 0.9999, 0.96], [0.9, 0.97, 0.9]]
    patches = list(find_patches(cells, 0.5))
    assert [score for score, _ in patches] == [0.99999, 0.9999, 0.9999]
    assert np.sum([patch for _, patch in patches], axis=0).max() == 1
    regions = find_regions(cells, 0.5, Letterbox.of(320, 320, 320))
    boxes = [(x, y, x + w, y + h) for x, y, w, h in (region.box for region in regions)]
    for one, other in permutations(boxes, 2):
        apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
        assert apart, (one, other)


def test_a_lower_peak_beside_a_better_one_does_not_enclose_it():
    cells = np.full((20, 20), 0.02)
    cells[10, 3:9] = [0.9999, 0.8, 0.8, 0.8, 0.95, 0.5]
    first, *others = find_regions(cells, 0.4, Letterbox.of(320, 320, 320))
    x, y, w, h = first.box
    for left, top, wide, high in (region.box for region in others):
        assert not (left <= x and top <= y and left + wide >= x + w and top + high >= y + h)


@pytest.mark.parametrize("side", [1, 5, 16, 40])
def test_a_small_picture_has_its_region(side: int):
    cells = bump(128, 72, 40, 10)
    (region,) = find_regions(cells, 0.5, Letterbox.of(side, side, 128))
    x, y, w, h = region.box
    assert 0 <= x < x + w <= side
    assert 0 <= y < y + h <= side


def test_where_all_cells_are_hot_the_whole_picture_is_the_region():
    (region,) = find_regions(np.full((8, 8), 0.9), 0.5, Letterbox.of(128, 128, 128))
    assert region.box == (0, 0, 128, 128)


def test_what_lies_in_the_margin_is_no_region():
    cells = np.zeros((8, 8))
    cells[:, 0] = 0.9
    assert find_regions(cells, 0.5, Letterbox.of(256, 512, 128)) == ()


def test_regions_lie_in_the_exposed_field():
    # The field is the middle half of 1,000 x 1,000 pixels, so the margins are pixels of the image, too.
    place = Letterbox.of(1000, 500, 512, 0, 250)
    cells = np.zeros((32, 32))
    cells[2, 16] = 0.9
    assert find_regions(cells, 0.5, place) == ()
    (region,) = find_regions(np.full((32, 32), 0.9), 0.5, place)
    assert region.box == (0, 250, 1000, 500)


def test_there_are_five_regions_at_most():
    cells = np.zeros((8, 8))
    cells[::2, ::2] = np.linspace(0.5, 1, 16).reshape(4, 4)
    regions = find_regions(cells, 0.5, Letterbox.of(128, 128, 128))
    assert len(regions) == MOST_REGIONS
    assert regions[0].score == 1


def test_heat_covers_the_picture_without_its_margins():
    cells = np.zeros((8, 8), np.float32)
    cells[4, 4] = 1
    heat = spread_heat(cells, Letterbox.of(256, 512, 128))
    assert heat.shape == (128, 64)
    assert np.unravel_index(heat.argmax(), heat.shape)[0] in range(64, 80)


def test_patches_of_any_map_have_no_point_in_common():
    for seed in range(40):
        noise = Image.fromarray(np.random.default_rng(seed).normal(0, 6, (9, 9)).astype(np.float32))
        cells = 1 / (1 + np.exp(-np.asarray(noise.resize((20, 20), Image.Resampling.BICUBIC))))
        patches = [patch for _, patch in find_patches(cells, 0.5)]
        together = np.sum(patches, axis=0)
        assert together.max() == 1
        assert together.reshape(20, 4, 20, 4).any(axis=(1, 3))[np.unravel_index(cells.argmax(), cells.shape)]


@pytest.mark.parametrize("side", [58, 106, 122, 154])
def test_an_edge_on_a_whole_pixel_stays_there(side: int):
    """Half of the side, which arithmetic in binary misses by a little, up or down."""
    cells = np.full((20, 20), 1 / (1 + np.exp(5)))
    cells[:, 10:] = 0.9
    place = Letterbox.of(side, side, 320)
    (right,) = find_regions(cells, 0.5, place)
    (left,) = find_regions(cells[:, ::-1], 0.5, place)
    assert (right.box, left.box) == ((side // 2, 0, side // 2, side), (0, 0, side // 2, side))
