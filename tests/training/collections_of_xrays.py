"""Collections in the forms in which they are published, made of drawn wrists."""

import csv
import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from training.data.manifest import ManifestRow
from training.synthetic_set import draw_collection

MOST = 60
"""The largest collection here."""


@cache
def _drawn() -> TemporaryDirectory[str]:
    """Draw the wrists of all collections of this process."""
    folder = TemporaryDirectory(prefix="osteo-wrists-")
    draw_collection(Path(folder.name), MOST)
    return folder


def a_collection(folder: Path, count: int = MOST) -> Path:
    """Drawn wrists with a labels.csv; the even ones are fractured."""
    drawn = Path(_drawn().name)
    (folder / "images").mkdir(parents=True)
    rows = rows_of(drawn)[:count]
    for row in rows:
        shutil.copy(drawn / "images" / row["image"], folder / "images")
    write_rows(folder, rows)
    return folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def write_rows(folder: Path, rows: list[dict[str, str]]) -> None:
    with (folder / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def add_image(folder: Path, name: str, picture: Image.Image, **values: str) -> None:
    """Add one more X-ray to a collection; what is not said of it is as for an intact one."""
    picture.save(folder / "images" / name)
    rows = rows_of(folder)
    plain = {"image": name, "fractured": "0", "group": name, "region": "hand", "boxes": "[]"}
    write_rows(folder, [*rows, {key: (plain | values).get(key, "") for key in rows[0]}])


def as_fracatlas(source: Path, folder: Path) -> Path:
    """The same X-rays in the form of FracAtlas's archive."""
    images, annotations, table = [], [], []
    for number, row in enumerate(rows_of(source)):
        fractured = row["fractured"] == "1"
        target = folder / "images" / ("Fractured" if fractured else "Non_fractured")
        target.mkdir(parents=True, exist_ok=True)
        (target / row["image"]).write_bytes((source / "images" / row["image"]).read_bytes())
        flags = dict.fromkeys(
            ("leg", "hip", "shoulder", "mixed", "hardware", "multiscan", "lateral", "oblique"), 0
        )
        table.append(
            {"image_id": row["image"], "hand": 1, **flags, "fractured": int(fractured), "frontal": 1}
        )
        images.append({"id": number, "file_name": row["image"]})
        for x, y, w, h in json.loads(row["boxes"]):
            outline = [[x, y, x + w, y, x + w, y + h]]
            annotations.append({"image_id": number, "bbox": [x, y, w, h], "segmentation": outline})
    with (folder / "dataset.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    coco = folder / "Annotations/COCO JSON/COCO_fracture_masks.json"
    coco.parent.mkdir(parents=True)
    coco.write_text(json.dumps({"images": images, "annotations": annotations}))
    return folder


def an_entry(image: str = "a.png", fractured: bool = False, **changes: object) -> ManifestRow:
    values: dict = {
        "image": image,
        "sha256": "0" * 64,
        "fractured": fractured,
        "group": image,
        "region": "hand",
        "frontal": True,
        "lateral": False,
        "oblique": False,
        "hardware": False,
        "width": 373,
        "height": 454,
        "source": "drawn",
        "licence": "synthetic",
        "boxes": (),
        "polygons": (),
    }
    return ManifestRow(**(values | changes))


def turned(picture: Image.Image, degrees: float) -> Image.Image:
    return picture.rotate(degrees, Image.Resampling.BILINEAR)


def pixels_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"))
