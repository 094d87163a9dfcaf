"""A bundle knows X-rays by content: copies are found, under any name of file or folder."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.collections_of_xrays import an_entry
from training.data.ancestry import (
    KnowsTheTest,
    read_ancestry,
    read_known_before,
    refuse_overlap,
    write_ancestry,
)
from training.data.fingerprints import Fingerprints
from training.data.known_xrays import FILE, known_of, read_known
from training.data.manifest import ManifestRow, write_manifest
from training.data.near_duplicates import fingerprint
from training.data.split import SPLIT
from training.synthetic_set import draw_wrist


def digest(number: int) -> str:
    return f"{number:064x}"


def a_run(folder: Path, pictures: dict[int, np.ndarray], parts: dict[int, str]) -> list[ManifestRow]:
    """A run of these pictures, prepared: manifest, division and fingerprints."""
    folder.mkdir(exist_ok=True)
    entries = [replace(an_entry(f"{number}.png"), sha256=digest(number)) for number in pictures]
    write_manifest(folder, entries)
    rows = [f"{number}.png,{number},{parts[number]}" for number in pictures]
    (folder / SPLIT).write_text("\n".join(["image,group,part", *rows]) + "\n")
    with Fingerprints(folder) as fingerprints:
        for number, pixels in pictures.items():
            fingerprints.take(digest(number), pixels)
    return entries


def wrists(*numbers: int) -> dict[int, np.ndarray]:
    return {number: draw_wrist(number, fractured=number % 2 == 0)[0] for number in numbers}


def compressed_again(pixels: np.ndarray) -> np.ndarray:
    stored = io.BytesIO()
    Image.fromarray(pixels[:, ::-1]).resize((300, 380)).save(stored, "JPEG", quality=50)
    return np.asarray(Image.open(stored))


@pytest.fixture
def known(tmp_path: Path):
    parts = dict.fromkeys(range(8), "train") | dict.fromkeys(range(8, 12), "test")
    entries = a_run(tmp_path / "theirs", wrists(*range(12)), parts)
    split = {f"{number}.png": (str(number), part) for number, part in parts.items()}
    return known_of(tmp_path / "theirs", entries, split, None)


def test_a_copy_is_found_and_another_picture_is_not(known):
    pictures = [compressed_again(wrists(3)[3]), wrists(40)[40]]
    coarse = np.stack([fingerprint(pixels).coarse for pixels in pictures])
    assert known.find([digest(98), digest(99)], coarse).tolist() == [3, -1]
    assert known.find([digest(9), digest(99)], coarse[[1, 1]]).tolist() == [9, -1], "the same file"


def test_known_xrays_are_the_same_after_storage(known, tmp_path: Path):
    known.write(tmp_path / FILE)
    stored = read_known(tmp_path)
    assert all(np.array_equal(getattr(stored, name), getattr(known, name)) for name in vars(known))
    assert read_known(tmp_path / "theirs") is None


def test_a_network_that_has_learned_from_the_test_part_is_refused(known, tmp_path: Path):
    pictures = wrists(50, 51) | {52: compressed_again(wrists(3)[3])}
    for part, is_refused in (("train", False), ("validation", True), ("test", True)):
        a_run(tmp_path / part, pictures, {50: "train", 51: "test", 52: part})
        if is_refused:
            with pytest.raises(KnowsTheTest, match=f"from 1 X-rays of the {part} part"):
                refuse_overlap(tmp_path / part, known)
        else:
            refuse_overlap(tmp_path / part, known)
    a_run(tmp_path / "tested", wrists(9, 60), {9: "test", 60: "train"})
    refuse_overlap(tmp_path / "tested", known)


def test_the_known_xrays_of_a_bundle_are_known_to_its_successor(known, tmp_path: Path):
    entries = a_run(tmp_path / "own", wrists(3, 70), {3: "train", 70: "test"})
    split = {"3.png": ("3", "train"), "70.png": ("70", "test")}
    both = known_of(tmp_path / "own", entries, split, known)
    digests = [row.tobytes().hex() for row in both.sha256]
    assert digests == [digest(number) for number in (3, 70, 0, 1, 2, 4, 5, 6, 7)], (
        "their test part is not known"
    )


def test_a_run_without_a_bundle_has_no_ancestors(tmp_path: Path):
    write_ancestry(tmp_path, None)
    assert (read_ancestry(tmp_path), read_known_before(tmp_path)) == ([], None)
