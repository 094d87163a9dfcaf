"""Reads the forms in which collections of X-rays are published, for `training.collect`.

A folder tells by itself which form it has: FracAtlas's archive, a labels.csv, or a folder for each class.
"""

import csv
import json
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.decode.dicom import is_dicom
from training.data.manifest import Box, ManifestRow, Polygon
from training.data.split import PART_FOLDERS
from training.run.errors import StepRefused

_FRACTURED = {"fractured", "fracture", "positive", "1"}
_INTACT = {"not_fractured", "non_fractured", "no_fracture", "normal", "intact", "negative", "0"}
_DICOM_HEAD = 132
"""Bytes by which a DICOM file is told: its preamble and four letters."""
PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".dcm"}
_FRACATLAS_LICENCE = "CC-BY 4.0"
_NEIGHBOURS = 8


@dataclass(frozen=True)
class Found:
    """An X-ray as a collection describes it, not yet looked at. `group` is empty if the source has none."""

    path: Path
    fractured: bool
    group: str = ""
    region: str = "unknown"
    frontal: bool = False
    lateral: bool = False
    oblique: bool = False
    hardware: bool = False
    licence: str = "unknown"
    boxes: tuple[Box, ...] = ()
    polygons: tuple[Polygon, ...] = ()


class LayoutError(StepRefused):
    """A folder that has none of the forms, or breaks the one it has; says what to do."""


def find_xrays(folder: Path) -> list[Found]:
    """List the X-rays of a collection in the order of their paths; LayoutError where there are none."""
    if (folder / "dataset.csv").is_file():
        found = list(_fracatlas(folder))
    elif (folder / "labels.csv").is_file():
        found = list(_table(folder))
    else:
        found = list(_class_folders(folder))
    if not found:
        raise LayoutError(f"{folder} holds no X-rays")
    return sorted(found, key=lambda one: one.path)


def _fracatlas(folder: Path) -> Iterator[Found]:
    """FracAtlas's archive: dataset.csv, images/Fractured, images/Non_fractured, and a COCO file."""
    annotated = next(folder.glob("Annotations/COCO*/*.json"), None)
    if annotated is None:
        raise LayoutError(
            f"{folder} has FracAtlas's dataset.csv but no Annotations/COCO JSON/*.json; unpack all of it"
        )
    boxes, polygons = _read_coco(annotated)
    for row in _rows(folder / "dataset.csv"):
        name, fractured = row["image_id"], row["fractured"] == "1"
        regions = [region for region in ("hand", "leg", "hip", "shoulder") if row[region] == "1"]
        yield Found(
            path=folder / "images" / ("Fractured" if fractured else "Non_fractured") / name,
            fractured=fractured,
            group=_neighbours(name),
            region="mixed" if row["mixed"] == "1" or len(regions) != 1 else regions[0],
            frontal=row["frontal"] == "1",
            lateral=row["lateral"] == "1",
            oblique=row["oblique"] == "1",
            hardware=row["hardware"] == "1",
            licence=_FRACATLAS_LICENCE,
            boxes=tuple(boxes[name]),
            polygons=tuple(polygons[name]),
        )


def _neighbours(name: str) -> str:
    """Group images by their numbers: FracAtlas names no patients, but numbers them in a row."""
    digits = re.search(r"\d+", name)
    return str(int(digits[0]) // _NEIGHBOURS) if digits else ""


def _read_coco(path: Path) -> tuple[dict[str, list[Box]], dict[str, list[Polygon]]]:
    """Read a COCO file: boxes and polygons by the name of the image file."""
    values = json.loads(path.read_text(encoding="utf-8"))
    names = {image["id"]: Path(image["file_name"]).name for image in values["images"]}
    boxes: dict[str, list[Box]] = defaultdict(list)
    polygons: dict[str, list[Polygon]] = defaultdict(list)
    for annotation in values["annotations"]:
        name = names[annotation["image_id"]]
        x, y, w, h = annotation["bbox"]
        boxes[name].append((float(x), float(y), float(w), float(h)))
        # A run-length mask is a dictionary: its box is all that we use of it.
        if isinstance(annotation.get("segmentation"), list):
            polygons[name] += [tuple(map(float, polygon)) for polygon in annotation["segmentation"]]
    return boxes, polygons


def _table(folder: Path) -> Iterator[Found]:
    """Read labels.csv: `image` and `fractured`, and any other field of `Found`."""
    rows = list(_rows(folder / "labels.csv"))
    if rows and (missing := {"image", "fractured"} - set(rows[0])):
        raise LayoutError(f"{folder / 'labels.csv'} has no column {', '.join(sorted(missing))}")
    inside = folder / "images" if (folder / "images").is_dir() else folder
    for number, row in enumerate(rows, start=2):
        if row["fractured"] not in ("0", "1"):
            raise LayoutError(
                f"{folder / 'labels.csv'}, line {number}: fractured is {row['fractured']!r}, not 0 or 1"
            )
        polygons = tuple(_polygons(json.loads(row.get("polygons") or "[]")))
        boxes = tuple(tuple(box) for box in json.loads(row.get("boxes") or "[]"))
        yield Found(
            path=inside / row["image"],
            fractured=row["fractured"] == "1",
            group=row.get("group", ""),
            region=row.get("region") or "unknown",
            frontal=row.get("frontal") == "1",
            lateral=row.get("lateral") == "1",
            oblique=row.get("oblique") == "1",
            hardware=row.get("hardware") == "1",
            licence=row.get("licence") or "unknown",
            boxes=boxes or tuple(map(_around, polygons)),
            polygons=polygons,
        )


def _polygons(values: Iterable[Any]) -> Iterator[Polygon]:
    """Flatten a list of polygons, or COCO's list of one list of polygons for each fracture."""
    for value in values:
        if value and isinstance(value[0], list):
            yield from _polygons(value)
        else:
            yield tuple(map(float, value))


def _around(polygon: Polygon) -> Box:
    x, y = polygon[::2], polygon[1::2]
    return (min(x), min(y), max(x) - min(x), max(y) - min(y))


def _class_folders(folder: Path) -> Iterator[Found]:
    """Read a folder for each class. Another folder on the way names the region, unless it names a part."""
    for path in sorted(folder.rglob("*")):
        if not _is_picture(path):
            continue
        inside = path.relative_to(folder).parts[:-1]
        classes = [part for part in inside if _plain(part) in _FRACTURED | _INTACT]
        if not classes and path.suffix.lower() not in PICTURES:
            continue  # An object beside the radiographs, such as the index of a CD.
        if len(classes) != 1:
            raise LayoutError(
                f"{path} lies in no folder of a class; call the folders 'fractured' and 'not_fractured', "
                "or add a labels.csv with the columns image and fractured"
            )
        regions = [part for part in inside if part != classes[0] and part.lower() not in PART_FOLDERS]
        yield Found(
            path, _plain(classes[0]) in _FRACTURED, region=regions[0].lower() if regions else "unknown"
        )


def _is_picture(path: Path) -> bool:
    """Tell a picture by its suffix, or a DICOM file by its first bytes: archives export those without one."""
    if path.suffix.lower() in PICTURES:
        return True
    if not path.is_file() or path.name.upper() == "DICOMDIR":
        return False
    with path.open("rb") as file:
        return is_dicom(file.read(_DICOM_HEAD))


def _plain(name: str) -> str:
    return name.strip().lower().replace(" ", "_").replace("-", "_")


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        yield from csv.DictReader(file)


def describe(
    folder: Path, one: Found, run: Path, sha256: str, size: tuple[int, int], licence: str
) -> ManifestRow:
    """Describe an X-ray of a collection, of width and height `size`, for the run's manifest."""
    source = folder.name
    return ManifestRow(
        image=os.path.relpath(one.path, run),
        sha256=sha256,
        fractured=one.fractured,
        # Where a source ties nothing together, every image stands alone until prepare finds its copies.
        group=f"{source}-{one.group or one.path.relative_to(folder)}",
        region=one.region,
        frontal=one.frontal,
        lateral=one.lateral,
        oblique=one.oblique,
        hardware=one.hardware,
        width=size[0],
        height=size[1],
        source=source,
        licence=licence,
        boxes=one.boxes,
        polygons=one.polygons,
    )
