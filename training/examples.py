"""Reads labelled X-rays into memory for `training.train`, decoded and letter-boxed as the service does it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model.image import decode
from model.letterbox import Letterbox, to_square

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Example:
    """One labelled X-ray: `square` is uint8 (size, size), `boxes` are x, y, w, h in its pixels."""

    image: str
    group: str
    region: str
    hardware: bool
    fractured: bool
    square: np.ndarray
    boxes: tuple[Box, ...]


Rows = list[dict[str, str]]


def read_labels(folder: Path) -> Rows:
    """Read labels.csv of a data set folder (columns as in its README)."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def read_examples(
    folder: Path, rows: Rows, size: int, progress: Callable[[Rows], Iterable[dict[str, str]]] = iter
) -> list[Example]:
    """Decode `rows` of the data set in `folder` to squares of `size` pixels, in the order given."""
    return [_example(folder, row, size) for row in progress(rows)]


def _example(folder: Path, row: dict[str, str], size: int) -> Example:
    radiograph = decode((folder / "images" / row["image"]).read_bytes())
    place = Letterbox.of(radiograph.width, radiograph.height, size)
    boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in json.loads(row["boxes"] or "[]")]
    return Example(
        image=row["image"],
        group=row["group"],
        region=row["region"],
        hardware=row["hardware"] == "1",
        fractured=row["fractured"] == "1",
        square=to_square(radiograph.pixels, size),
        boxes=tuple(place.into(box) for box in boxes),
    )
