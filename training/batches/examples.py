"""Reads labelled X-rays into memory for the steps that learn, decoded and letter-boxed as in service."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from model.decode.image import decode
from model.letterbox import Letterbox, to_square
from training.data.manifest import Box, ManifestRow, Polygon, read_manifest
from training.data.split import read_split


@dataclass(frozen=True, eq=False)
class Example:
    """One labelled X-ray: `square` is uint8 (size, size); `boxes` and `polygons` lie in its pixels.

    `group` is the one of the split, which ties more together than the source's own.
    """

    entry: ManifestRow
    group: str
    square: np.ndarray
    boxes: tuple[Box, ...]
    polygons: tuple[Polygon, ...]
    place: Letterbox | None = None
    """Where the X-ray lies in the square, between its margins; None where it fills the square."""

    @property
    def letterbox(self) -> Letterbox:
        """Where the X-ray lies in the square: one that fills it lies at its corner."""
        side = self.square.shape[0]
        return self.place or Letterbox.of(side, side, side)

    @property
    def fractured(self) -> bool:
        """Whether there is a fracture."""
        return self.entry.fractured

    @property
    def located(self) -> bool:
        """Whether it is known where its fractures are; an intact one has them nowhere."""
        return not self.fractured or bool(self.boxes)


def read_part(run: Path, part: str, size: int) -> list[Example]:
    """Read one part of the run's split as squares of `size` pixels, in the manifest's order."""
    return read_entries(run, entries_of(run, part), size, part)


def read_entries(run: Path, entries: Sequence[ManifestRow], size: int, label: str) -> list[Example]:
    """Read entries of the run's manifest as `read_part` does; `label` names the progress bar."""
    split = read_split(run)
    return [
        _read_example(run, entry, split[entry.image][0], size)
        for entry in tqdm(entries, f"reading {label}", unit="image")
    ]


def entries_of(run: Path, part: str) -> list[ManifestRow]:
    """List the manifest's entries of one part of the run's split."""
    split = read_split(run)
    return [entry for entry in read_manifest(run) if split[entry.image][1] == part]


def _read_example(run: Path, entry: ManifestRow, group: str, size: int) -> Example:
    """Decode one X-ray of the run's manifest."""
    radiograph = decode((run / entry.image).read_bytes())
    field = radiograph.exposed_field
    place = Letterbox.of_field(field, size)
    return Example(
        entry=entry,
        group=group,
        square=to_square(radiograph.pixels, size, field),
        boxes=tuple(place.into(box) for box in entry.boxes),
        polygons=tuple(_into(place, polygon) for polygon in entry.polygons),
        place=place,
    )


def _into(place: Letterbox, polygon: Polygon) -> Polygon:
    points = (np.array(polygon).reshape(-1, 2) - (place.x, place.y)) * place.scale + (place.left, place.top)
    return tuple(points.ravel().tolist())


def labels_of(examples: Sequence[Example]) -> np.ndarray:
    """Return whether each is fractured, bool (n,)."""
    return np.array([example.fractured for example in examples], bool)


def groups_of(examples: Sequence[Example]) -> np.ndarray:
    """Return the group of each, str (n,)."""
    return np.array([example.group for example in examples])


def shrink(square: np.ndarray, size: int) -> np.ndarray:
    """Reduce a square, uint8 (side, side), to `size` pixels: it has been through the pixel path already."""
    return np.asarray(Image.fromarray(square).resize((size, size), Image.Resampling.HAMMING))
