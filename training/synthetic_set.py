"""Draws a collection of synthetic wrists, half of them broken: `python -m training.synthetic_set FOLDER`.

For `make train-smoke` and the tests, which must run without anybody's X-rays. What is learned from it says
nothing about real ones.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.synthetic import draw_forearm

_HEIGHT, _WIDTH, _SCALE = 260, 195, (0.85, 1.45)
_MIDDLE_Y, _MIDDLE_X, _SIDE, _SHIFT = 0.43, 0.5, 100, 16


def draw_collection(folder: Path, count: int) -> None:
    """Write `count` X-rays to images/ and their labels.csv, in the form that `training.collect` reads."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "fractured", "group", "region", "frontal", "licence", "boxes"])
        for seed in tqdm(range(count), "drawing", unit="image"):
            name, fractured = f"synthetic-{seed:04d}.png", seed % 2 == 0
            pixels, box = draw_wrist(seed, fractured)
            Image.fromarray(pixels).save(folder / "images" / name)
            boxes = json.dumps([box] if box else [])
            writer.writerow([name, int(fractured), f"drawing-{seed}", "hand", 1, "synthetic", boxes])


def draw_wrist(seed: int, fractured: bool) -> tuple[np.ndarray, list[int] | None]:
    """Draw a forearm of some size, and cut the wrist out of it somewhere: no two are near-duplicates."""
    random = np.random.default_rng([seed, 1])
    scale = random.uniform(*_SCALE)
    height, width = round(_HEIGHT * scale), round(_WIDTH * scale)
    drawing = draw_forearm(seed, fractured, (height, width))
    shift = random.integers(-_SHIFT, _SHIFT, 2)
    top, left = (
        int(np.clip(place * side - _SIDE / 2 + by, 0, side - _SIDE))
        for place, side, by in zip((_MIDDLE_Y, _MIDDLE_X), (height, width), shift, strict=True)
    )
    pixels = drawing.pixels[top : top + _SIDE, left : left + _SIDE]
    if drawing.fracture is None:
        return pixels, None
    x, y, w, h = drawing.fracture
    right, bottom = min(x + w - left, _SIDE), min(y + h - top, _SIDE)
    x, y = max(0, x - left), max(0, y - top)
    return pixels, [x, y, right - x, bottom - y]


def main() -> None:
    """Run `python -m training.synthetic_set FOLDER`."""
    parser = argparse.ArgumentParser(description="Draw synthetic wrists with labels.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--count", type=int, default=320)
    options = parser.parse_args()
    draw_collection(options.folder, options.count)


if __name__ == "__main__":
    main()
