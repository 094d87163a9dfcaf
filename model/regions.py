"""Turns the network's localisation map into boxes and heat over the submitted image."""

from dataclasses import dataclass

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
_LEAST = 1e-4
"""Log odds of cells are taken as of this score at least, and of 1 less this at most."""


@dataclass(frozen=True)
class ScoredRegion:
    """Where a fracture may be: `box` is x, y, w, h in whole pixels of the submitted image; `score` 0..1."""

    box: tuple[int, int, int, int]
    score: float


def find_regions(
    cells: np.ndarray, threshold: float, place: Letterbox, size: tuple[int, int]
) -> tuple[ScoredRegion, ...]:
    """Box what `find_patches` finds in cells (n, n), best first, five at most.

    `size` is the submitted image's (width, height); boxes lie inside it and are at least a pixel wide.
    """
    width, height = size
    step = STRIDE / FINER
    found = []
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
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(width, round(x + w)), min(height, round(y + h))
        # A patch that lies in the letter-box's margin is no place in the image.
        if right > left and bottom > top:
            found.append(ScoredRegion((left, top, right - left, bottom - top), score))
    return tuple(found[:MOST_REGIONS])


def find_patches(cells: np.ndarray, threshold: float) -> list[tuple[float, np.ndarray]]:
    """Find the patches around cells (n, n) at or above `threshold`: score and bool (4 n, 4 n), best first.

    The score is the hottest cell, 0..1; `model.classifier` calibrates it. A patch is what is connected with
    its hottest point and hardly less hot, in log odds that are interpolated between the cells.
    """
    fine = _refine(cells)
    covered = np.zeros(fine.shape, bool)
    found = []
    hot = [tuple(np.array(group).T) for group in _connected(cells >= threshold)]
    for group in sorted(hot, key=lambda group: -cells[group].max()):
        within = np.zeros(cells.shape, bool)
        within[group] = True
        points = within.repeat(FINER, axis=0).repeat(FINER, axis=1)
        hottest = np.unravel_index(np.where(points, fine, -np.inf).argmax(), fine.shape)
        if not covered[hottest]:
            warm = {(int(row), int(column)) for row, column in np.argwhere(fine >= fine[hottest] - _FALL)}
            patch = np.zeros(fine.shape, bool)
            patch[tuple(np.array(_reach(warm, (int(hottest[0]), int(hottest[1])))).T)] = True
            covered |= patch
            found.append((float(cells[group].max()), patch))
    return found


def _refine(cells: np.ndarray) -> np.ndarray:
    """Interpolate the log odds of cells (n, n): float32 (4 n, 4 n)."""
    scores = np.clip(cells, _LEAST, 1 - _LEAST).astype(np.float32)
    odds = Image.fromarray(np.log(scores / (1 - scores)))
    return np.asarray(odds.resize((odds.width * FINER, odds.height * FINER), Image.Resampling.BICUBIC))


def spread_heat(cells: np.ndarray, place: Letterbox) -> np.ndarray:
    """Spread cells (n, n) smoothly to float32 0..1 over the picture's field, at the input's scale."""
    smooth = Image.fromarray(cells.astype(np.float32)).resize((place.size,) * 2, Image.Resampling.BICUBIC)
    return np.clip(place.crop(np.asarray(smooth)), 0.0, 1.0)


def _connected(marked: np.ndarray) -> list[list[tuple[int, int]]]:
    """Group the true points of bool (n, n) that touch along a side."""
    left = {(int(row), int(column)) for row, column in np.argwhere(marked)}
    groups = []
    while left:
        groups.append(_reach(left, next(iter(left))))
    return groups


def _reach(left: set[tuple[int, int]], start: tuple[int, int]) -> list[tuple[int, int]]:
    """Take the point `start`, and all that are connected with it along their sides, out of `left`."""
    left.remove(start)
    reached = [start]
    for row, column in reached:
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if near in left:
                left.remove(near)
                reached.append(near)
    return reached
