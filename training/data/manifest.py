"""Reads and writes the manifest of a collection, one row for each X-ray: every later step reads it."""

import csv
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from training.run.atomic_file import write_table

MANIFEST = "manifest.csv"

Box = tuple[float, float, float, float]
Polygon = tuple[float, ...]


@dataclass(frozen=True)
class ManifestRow:
    """One labelled X-ray.

    `image` is its path, relative to the manifest's folder; `boxes` are x, y, w, h and `polygons` x1, y1, x2,
    y2, ... in its pixels. `group` ties images that may show the same patient. Several views may hold, since
    an X-ray with several pictures on it has several. `source` names the collection it came from.
    """

    image: str
    sha256: str
    fractured: bool
    group: str
    region: str
    frontal: bool
    lateral: bool
    oblique: bool
    hardware: bool
    width: int
    height: int
    source: str
    licence: str
    boxes: tuple[Box, ...]
    polygons: tuple[Polygon, ...]

    @property
    def size(self) -> str:
        """Its class of original size: in some collections the size alone tells how likely a fracture is."""
        shape = "wide" if self.width > self.height else "tall" if self.height > self.width else "square"
        return f"{shape}-{'large' if max(self.width, self.height) > 600 else 'small'}"


_LISTS = ("boxes", "polygons")
_SIZES = ("width", "height")
_FLAGS = ("fractured", "frontal", "lateral", "oblique", "hardware")


def write_manifest(folder: Path, entries: Iterable[ManifestRow]) -> None:
    """Write manifest.csv to `folder`, whole or not at all."""
    write_table(folder / MANIFEST, [field.name for field in fields(ManifestRow)], map(_row, entries))


def read_manifest(folder: Path) -> list[ManifestRow]:
    """Read manifest.csv of `folder`; FileNotFoundError says which step makes it."""
    path = folder / MANIFEST
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run python -m training.collect --run {folder} first")
    with path.open(newline="", encoding="utf-8") as file:
        return [_entry(row) for row in csv.DictReader(file)]


def _row(entry: ManifestRow) -> dict[str, Any]:
    values = asdict(entry)
    values |= {name: json.dumps(values[name]) for name in _LISTS}
    return values | {name: int(values[name]) for name in _FLAGS}


def _entry(row: dict[str, str]) -> ManifestRow:
    values: dict[str, Any] = dict(row)
    values |= {name: row[name] == "1" for name in _FLAGS}
    values |= {name: int(row[name]) for name in _SIZES}
    values |= {name: tuple(tuple(numbers) for numbers in json.loads(row[name])) for name in _LISTS}
    return ManifestRow(**values)
