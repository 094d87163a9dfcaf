"""Turns the network's localisation map into boxes and heat over the submitted image."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from model.letterbox import Letterbox
from model.network import STRIDE

MOST_REGIONS = 5


@dataclass(frozen=True)
class ScoredRegion:
    """Where a fracture may be: `box` is x, y, w, h in whole pixels of the submitted image; `score` 0..1."""

    box: tuple[int, int, int, int]
    score: float


def find_regions(
    cells: np.ndarray, threshold: float, place: Letterbox, size: tuple[int, int]
) -> tuple[ScoredRegion, ...]:
    """Box each connected patch of cells (n, n) at or above `threshold`, best first, five at most.

    A region's score is its hottest cell, 0..1; `model.classifier` calibrates it.
    `size` is the submitted image's (width, height); boxes lie inside it and are at least a pixel wide.
    """
    width, height = size
    found = []
    for patch in _patches(cells >= threshold):
        rows, columns = np.array(patch).T
        score = float(cells[rows, columns].max())
        x, y, w, h = place.back(
            (
                float(columns.min() * STRIDE),
                float(rows.min() * STRIDE),
                float((np.ptp(columns) + 1) * STRIDE),
                float((np.ptp(rows) + 1) * STRIDE),
            )
        )
        left, top = max(0, round(x)), max(0, round(y))
        right, bottom = min(width, round(x + w)), min(height, round(y + h))
        # A patch that lies in the letter-box's margin is no place in the image.
        if right > left and bottom > top:
            found.append(ScoredRegion((left, top, right - left, bottom - top), score))
    found.sort(key=lambda region: -region.score)
    return tuple(found[:MOST_REGIONS])


def spread_heat(cells: np.ndarray, place: Letterbox) -> np.ndarray:
    """Spread cells (n, n) smoothly to float32 0..1 over the picture's field, at the input's scale."""
    smooth = Image.fromarray(cells.astype(np.float32)).resize((place.size,) * 2, Image.Resampling.BICUBIC)
    return np.clip(place.crop(np.asarray(smooth)), 0.0, 1.0)


def _patches(marked: np.ndarray) -> list[list[tuple[int, int]]]:
    """Group the true cells of bool (n, n) that touch along a side."""
    left = {(int(row), int(column)) for row, column in np.argwhere(marked)}
    patches = []
    while left:
        reached = [left.pop()]
        for row, column in reached:
            for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if near in left:
                    left.remove(near)
                    reached.append(near)
        patches.append(reached)
    return patches
