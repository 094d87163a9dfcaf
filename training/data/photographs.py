"""Reads the gray photographs that `training.pretrain` learns from: zips of WebP, class in the file's name."""

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from training.run.errors import StepRefused


@dataclass(frozen=True, eq=False)
class Photographs:
    """`pixels` uint8 (n, side, side); `classes` int64 (n,), numbers of the sorted class names."""

    pixels: np.ndarray
    classes: np.ndarray

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return int(self.classes.max()) + 1


def read_photographs(folder: Path) -> Photographs:
    """Decode every picture of the zips in `folder`, in the order of their names; StepRefused for none.

    A file's class is its name up to the first underscore (a WordNet id in Tiny ImageNet).
    """
    archives = sorted(folder.glob("*.zip"))
    if not archives:
        raise StepRefused(
            f"{folder} holds no zip of photographs; it should hold zips of files called CLASS_anything.webp"
        )
    pixels, names = [], []
    for path in archives:
        with zipfile.ZipFile(path) as archive:
            for entry in tqdm(sorted(archive.namelist()), path.name, unit="image"):
                if entry.endswith(".webp"):
                    with Image.open(io.BytesIO(archive.read(entry)), formats=("WEBP",)) as picture:
                        pixels.append(np.asarray(picture.convert("L")))
                    names.append(Path(entry).name.split("_")[0])
    return Photographs(np.stack(pixels), np.unique(names, return_inverse=True)[1])


def hold_out(photographs: Photographs, every: int = 50) -> tuple[Photographs, Photographs]:
    """Divide into what is learned from and what measures it: every 50th of each class."""
    order = np.argsort(photographs.classes, kind="stable")
    held = np.zeros(len(order), bool)
    held[order[::every]] = True
    return (
        Photographs(photographs.pixels[~held], photographs.classes[~held]),
        Photographs(photographs.pixels[held], photographs.classes[held]),
    )
