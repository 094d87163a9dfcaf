"""Measures where the network looks, for `training.evaluate`: by its localisation head and by Grad-CAM."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.letterbox import scale_pixels
from model.network import FRACTURE
from model.regions import ScoredRegion, find_patches, find_regions
from training.batches.augment import draw_fractures
from training.batches.examples import Example

if TYPE_CHECKING:
    import keras

MARGIN = 0.05
"""A peak counts up to this share of the image's side beside a fracture's box."""
_BATCH = 16


def grad_cam(network: "keras.Model", squares: Sequence[np.ndarray]) -> np.ndarray:
    """Compute Grad-CAM (Selvaraju et al., 2017) of the fracture score: float32 (n, h, w), 0..1.

    It is taken on the deepest map. Only a mean, a maximum and two dense layers follow that map, so the
    gradient has a closed form, and needs no backend's tape.
    """
    import keras

    names = ("whole_relu2", "pooled", "dense")
    watched = keras.Model(network.input, [network.get_layer(name).output for name in names])
    dense, last = network.get_layer("dense"), network.get_layer(FRACTURE)
    into, out = np.asarray(dense.kernel), np.asarray(last.kernel)[:, 0]
    maps = []
    for start in tqdm(range(0, len(squares), _BATCH), "Grad-CAM", unit="batch"):
        inputs = scale_pixels(np.stack(squares[start : start + _BATCH]))
        whole, _, hidden = (np.asarray(x, np.float32) for x in watched.predict_on_batch(inputs))
        channels, cells = whole.shape[-1], whole.shape[1] * whole.shape[2]
        # d score / d pooled; the mean's and the maximum's shares of it lie side by side.
        slope = ((hidden > 0) * out) @ into.T
        weight = (slope[:, :channels] + slope[:, channels : 2 * channels]) / cells
        heat = np.maximum((whole * weight[:, None, None, :]).sum(axis=-1), 0)
        maps.append(heat / np.maximum(heat.max(axis=(1, 2), keepdims=True), 1e-9))
    return np.concatenate(maps)


def peak_hits(example: Example, heat: np.ndarray, margin: float = MARGIN) -> bool:
    """Whether the middle of the hottest cell of `heat` (h, w) lies in a fracture's box: the pointing game."""
    side = example.square.shape[0]
    row, column = np.unravel_index(int(heat.argmax()), heat.shape)
    return _is_inside(
        example, (column + 0.5) / heat.shape[1] * side, (row + 0.5) / heat.shape[0] * side, margin
    )


def lies_on_fracture(example: Example, box: tuple[int, int, int, int], margin: float = MARGIN) -> bool:
    """Whether the middle of `box`, x, y, w, h in the square's pixels, lies in a fracture's box."""
    x, y, width, height = box
    return _is_inside(example, x + width / 2, y + height / 2, margin)


def _is_inside(example: Example, x: float, y: float, margin: float) -> bool:
    slack = margin * example.square.shape[0]
    return any(
        left - slack <= x <= left + width + slack and top - slack <= y <= top + height + slack
        for left, top, width, height in example.boxes
    )


def cover(cells: np.ndarray, threshold: float) -> np.ndarray:
    """Mark what the regions of cells (n, n) cover: bool (m, m) over the square."""
    patches = [patch for _, patch in find_patches(cells, threshold)]
    return np.any(patches, axis=0) if patches else np.zeros(cells.shape, bool)


def best_box(example: Example, cells: np.ndarray, threshold: float) -> tuple[int, int, int, int] | None:
    """Return the best region's box in the square's pixels, x, y, w, h; None where there is no region."""
    found = regions_of(example, cells, threshold)
    return found[0].box if found else None


def regions_of(example: Example, cells: np.ndarray, threshold: float) -> tuple[ScoredRegion, ...]:
    """Find the regions of an answer, best first, with boxes in the square's pixels."""
    inner = example.letterbox
    # The square itself is the picture, and what the margins leave is its field.
    square = replace(
        inner, scale=1.0, x=inner.left, y=inner.top, width=inner.inner_width, height=inner.inner_height
    )
    return find_regions(cells, threshold, square)


def overlap(example: Example, marked: np.ndarray) -> float:
    """Compute intersection over union of bool (n, n) over the square and the marked fractures, by pixels."""
    truth = np.asarray(draw_fractures(example)) > 0
    points = Image.fromarray(marked.astype(np.uint8) * 255)
    found = np.asarray(points.resize(truth.shape[::-1], Image.Resampling.NEAREST)) > 0
    either = (truth | found).sum()
    return float((truth & found).sum() / either) if either else float("nan")


def box_overlap(example: Example, box: tuple[int, int, int, int]) -> float:
    """Compute the largest intersection over union of `box`, in the square's pixels, and a marked box."""
    x, y, width, height = box
    shares = []
    for left, top, w, h in example.boxes:
        wide, high = min(x + width, left + w) - max(x, left), min(y + height, top + h) - max(y, top)
        both = max(0, wide) * max(0, high)
        shares.append(both / (width * height + w * h - both))
    return float(max(shares))
