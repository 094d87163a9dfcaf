"""Turns the network's localisation map into boxes and heat over the submitted image."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from math import ceil, floor, inf

import numpy as np
from PIL import Image

from model.letterbox import Letterbox
from model.network import STRIDE

MOST_REGIONS = 5
FINER = 4
"""Points along a side of a cell: a fracture is often smaller than a cell."""
_FALL = 4.0
"""A region reaches to where the log odds are this much under those of its hottest point. Chosen on validation
X-rays (docs/experiments.md)."""
_ROUNDING = 1e-6
"""Pixels by which an edge may be off a whole pixel by rounding alone."""
_LEAST = 1e-4
"""Log odds of cells are taken as of this score at least, and of 1 less this at most."""

_Point = tuple[int, int]
"""A row and a column."""


@dataclass(frozen=True)
class ScoredRegion:
    """Where a fracture may be: `box` is x, y, w, h in whole pixels of the submitted image; `score` 0..1."""

    box: tuple[int, int, int, int]
    score: float


def find_regions(cells: np.ndarray, threshold: float, place: Letterbox) -> tuple[ScoredRegion, ...]:
    """Box what `find_patches` finds in cells (n, n), best first, five at most.

    Boxes lie in the exposed field at `place`, and are at least a pixel wide.
    """
    return tuple(islice(_boxed(cells, threshold, place), MOST_REGIONS))


def _boxed(cells: np.ndarray, threshold: float, place: Letterbox) -> Iterator[ScoredRegion]:
    step = STRIDE / FINER
    for score, patch in find_patches(cells, threshold):
        rows, columns = patch.nonzero()
        x, y, w, h = place.back(
            (
                float(columns.min() * step),
                float(rows.min() * step),
                float((np.ptp(columns) + 1) * step),
                float((np.ptp(rows) + 1) * step),
            )
        )
        left, top = max(place.x, floor(x + _ROUNDING)), max(place.y, floor(y + _ROUNDING))
        right = min(place.x + place.width, ceil(x + w - _ROUNDING))
        bottom = min(place.y + place.height, ceil(y + h - _ROUNDING))
        # The network sees the field alone: a patch in the letter-box's margin is no place in the image.
        if right > left and bottom > top:
            yield ScoredRegion((left, top, right - left, bottom - top), score)


def find_patches(cells: np.ndarray, threshold: float) -> Iterator[tuple[float, np.ndarray]]:
    """Find the patches around peaks of cells (n, n) from `threshold` on: score, bool (4 n, 4 n); best first.

    A peak is a cell that no neighbour exceeds. Its score, 0..1, is the patch's; `model.classifier` calibrates
    it. A patch is what is connected with the peak and hardly less hot, in log odds that are interpolated
    between the cells. Patches have no point in common, and a peak inside a better one's patch has none.
    """
    fine = _refine(cells)
    # Python reads a number of a list sooner than one of an array.
    heights, covered = fine.tolist(), set[_Point]()
    for row, column in _peaks(cells, threshold):
        inside = np.s_[row * FINER : (row + 1) * FINER, column * FINER : (column + 1) * FINER]
        down, across = divmod(int(fine[inside].argmax()), FINER)
        start = row * FINER + down, column * FINER + across
        if start not in covered:
            reached = _flood(heights, start, covered)
            covered |= reached
            patch = np.zeros(fine.shape, bool)
            patch[tuple(np.array(list(reached)).T)] = True
            yield float(cells[row, column]), patch


def _peaks(cells: np.ndarray, threshold: float) -> list[_Point]:
    """List the cells of (n, n) from `threshold` on that no neighbour of eight exceeds, hottest first."""
    padded = np.pad(cells, 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).max(axis=(2, 3))
    found = [(int(row), int(column)) for row, column in np.argwhere((cells >= threshold) & (cells >= around))]
    return sorted(found, key=lambda peak: -cells[peak])


def _flood(heights: list[list[float]], start: _Point, covered: set[_Point]) -> set[_Point]:
    """Find the points of (m, m) that belong to a patch's hottest one, `start`.

    Behind better patches it only goes down: else it would run around one of them.
    """
    least, only_down, last = heights[start[0]][start[1]] - _FALL, bool(covered), len(heights) - 1
    reached, edge = {start}, [start]
    for row, column in edge:
        most = heights[row][column] if only_down else inf
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            inside = 0 <= near[0] <= last and 0 <= near[1] <= last
            known = near in reached or near in covered
            if inside and not known and least <= heights[near[0]][near[1]] <= most:
                reached.add(near)
                edge.append(near)
    return reached


def _refine(cells: np.ndarray) -> np.ndarray:
    """Interpolate the log odds of cells (n, n): float32 (4 n, 4 n)."""
    scores = np.clip(cells, _LEAST, 1 - _LEAST).astype(np.float32)
    odds = Image.fromarray(np.log(scores / (1 - scores)))
    return np.asarray(odds.resize((odds.width * FINER, odds.height * FINER), Image.Resampling.BICUBIC))


def spread_heat(cells: np.ndarray, place: Letterbox) -> np.ndarray:
    """Spread cells (n, n) smoothly to float32 0..1 over the picture's field, at the input's scale."""
    smooth = Image.fromarray(cells.astype(np.float32)).resize((place.size,) * 2, Image.Resampling.BICUBIC)
    return np.clip(place.crop(np.asarray(smooth)), 0.0, 1.0)
