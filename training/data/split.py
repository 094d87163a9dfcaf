"""Divides a collection into training, validation and test part, and finds the leaks of a division.

`training.prepare` uses it. Copies of one image, and images that may show one patient, stay in one part.
"""

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from training.data.manifest import ManifestRow, read_manifest
from training.run.atomic_file import write_table
from training.run.errors import StepRefused

SPLIT = "split.csv"
TRAIN, VALIDATION, TEST = "train", "validation", "test"
FOLDS = {TRAIN: range(0, 14), VALIDATION: range(14, 17), TEST: range(17, 20)}
"""Twentieths of the collection: 70, 15 and 15 %."""
PART_FOLDERS = {
    "train": TRAIN,
    "training": TRAIN,
    "val": VALIDATION,
    "valid": VALIDATION,
    "validation": VALIDATION,
    "test": TEST,
}
"""The parts by the folders' names under which collections publish their own division."""
_TWENTIETHS = 20
_COLUMNS = ("image", "group", "part")

Pairs = Sequence[tuple[int, int, float]]


def join_groups(entries: Sequence[ManifestRow], near_duplicates: Pairs) -> list[str]:
    """Name each image's group: the source's own, joined where an image of one copies one of another."""
    names, own = np.unique([entry.group for entry in entries], return_inverse=True)
    ends = [(own[i], own[j]) for i, j, _ in near_duplicates]
    first, second = np.array(ends, int).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(ends)), (first, second)), shape=(len(names), len(names)))
    joined = connected_components(links, directed=False)[1]
    name_of = {int(component): str(name) for component, name in zip(joined[::-1], names[::-1], strict=True)}
    return [name_of[int(joined[place])] for place in own]


def split_by_group(entries: Sequence[ManifestRow], groups: Sequence[str], seed: int) -> list[str]:
    """Assign each image its part: groups stay whole, and each part has its share of label x region x size.

    StepRefused if there are too few groups to divide.
    """
    if len(set(groups)) < _TWENTIETHS:
        raise StepRefused(f"{len(set(groups))} groups cannot be divided; it takes {_TWENTIETHS} at least")
    if max(Counter(entry.fractured for entry in entries).values()) < _TWENTIETHS:
        raise StepRefused(
            f"{len(entries)} X-rays cannot be divided; it takes {_TWENTIETHS} fractured ones, "
            f"or {_TWENTIETHS} intact ones"
        )
    strata = _strata(entries, groups)
    folds = StratifiedGroupKFold(_TWENTIETHS, shuffle=True, random_state=seed)
    part_of = np.empty(len(entries), dtype=object)
    for number, (_, held) in enumerate(folds.split(strata, strata, groups)):
        part_of[held] = next(part for part, numbers in FOLDS.items() if number in numbers)
    return [str(part) for part in part_of]


def _strata(entries: Sequence[ManifestRow], groups: Sequence[str]) -> list[str]:
    """Name the strata, label x region x size; one that is too rare for twenty folds is its label alone."""
    fine = [f"{entry.fractured} {entry.region} {entry.size}" for entry in entries]
    spread = Counter(stratum for stratum, _ in set(zip(fine, groups, strict=True)))
    return [
        stratum if spread[stratum] >= _TWENTIETHS else str(entry.fractured)
        for stratum, entry in zip(fine, entries, strict=True)
    ]


def find_leaks(parts: Sequence[str], near_duplicates: Pairs) -> list[tuple[int, int, float]]:
    """List the pairs of copies that stand on two sides of a division."""
    return [(i, j, apart) for i, j, apart in near_duplicates if parts[i] != parts[j]]


def write_split(
    run: Path, entries: Sequence[ManifestRow], groups: Sequence[str], parts: Sequence[str]
) -> None:
    """Write split.csv: image, group and part, one row an image; whole or not at all."""
    rows = zip((entry.image for entry in entries), groups, parts, strict=True)
    write_table(run / SPLIT, _COLUMNS, (dict(zip(_COLUMNS, row, strict=True)) for row in rows))


def division_of(run: Path) -> str:
    """Hash labels and division: a network that has learned from one division is tested on no other."""
    split = read_split(run)
    known = sorted((e.sha256, e.fractured, e.boxes, e.polygons, split[e.image]) for e in read_manifest(run))
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:16]


def read_split(run: Path) -> Mapping[str, tuple[str, str]]:
    """Read split.csv: group and part by image; FileNotFoundError says which step makes it."""
    path = run / SPLIT
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing; run python -m training.prepare --run {run} first")
    with path.open(newline="", encoding="utf-8") as file:
        return {row["image"]: (row["group"], row["part"]) for row in csv.DictReader(file)}
