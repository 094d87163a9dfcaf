"""Draws a collection of synthetic wrists, half of them broken: `python -m training.synthetic_set FOLDER`.

For `make train-smoke` and the tests, which must run without patients' X-rays. A network that is trained on it
knows nothing about real ones.
"""

import argparse
import csv
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.synthetic import draw_forearm

_HEIGHT, _WIDTH, _SCALE = 360, 270, (0.85, 1.45)
_MIDDLE_Y, _MIDDLE_X, _SIDE, _SHIFT = 0.43, 0.5, 140, 22


def draw_collection(folder: Path, count: int, first: int = 0) -> None:
    """Write `count` X-rays, from seed `first` on, to images/, and labels.csv, as `collect` reads them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    seeds = range(first, first + count)
    names = [folder / "images" / f"synthetic-{seed:04d}.png" for seed in seeds]
    with ProcessPoolExecutor() as processes:
        drawn = processes.map(_draw_to, names, seeds, chunksize=10)
        boxes = list(tqdm(drawn, "drawing", count, unit="image"))
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "fractured", "group", "region", "frontal", "licence", "boxes"])
        for seed, name, box in zip(seeds, names, boxes, strict=True):
            marked = json.dumps([box] if box else [])
            writer.writerow([name.name, int(bool(box)), f"drawing-{seed}", "hand", 1, "synthetic", marked])


def _draw_to(path: Path, seed: int) -> list[int] | None:
    pixels, box = draw_wrist(seed, fractured=seed % 2 == 0)
    Image.fromarray(pixels).save(path)
    return box


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
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--first", type=int, default=0, help="seed of the first; others are other wrists")
    options = parser.parse_args()
    draw_collection(options.folder, options.count, options.first)


if __name__ == "__main__":
    main()
