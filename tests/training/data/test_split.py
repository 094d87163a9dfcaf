import csv
import io
import json
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.training.collections_of_xrays import a_collection, add_image, an_entry, pixels_of, rows_of, turned
from tests.xrays import FRACATLAS, XRAYS, needs_xrays
from training.collect import collect
from training.data.fingerprints import FILE
from training.data.manifest import read_manifest, write_manifest
from training.data.near_duplicates import NEAR, distance, find_near_duplicates, fingerprint
from training.data.split import FOLDS, SPLIT, join_groups, read_split, split_by_group
from training.prepare import AUDIT, REPORT, prepare
from training.run.errors import StepRefused


@pytest.fixture(scope="module")
def wrists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty drawn wrists, and copies of eight of them, turned, flipped and compressed, under other names."""
    folder = a_collection(tmp_path_factory.mktemp("prepare") / "wrists", 60)
    for number in range(8):
        name = f"synthetic-{number:04d}.png"
        picture = turned(Image.open(folder / "images" / name), 23 * number + 5)
        stored = io.BytesIO()
        (ImageOps.mirror(picture) if number % 2 else picture).save(stored, "JPEG", quality=80)
        label = str(int(number % 2 == 0))
        add_image(folder, f"other-{number}.png", Image.open(stored), fractured=label)
    return folder


@pytest.fixture(scope="module")
def run(wrists: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("prepare-run")
    collect([wrists], run)
    prepare(run, seed=1)
    return run


def audit(run: Path, division: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "training.prepare", "--run", str(run), "--audit", division]
    return subprocess.run(command, capture_output=True, text=True)


def test_copies_turned_flipped_and_compressed_stay_with_their_originals(run: Path):
    split = {Path(image).name: where for image, where in read_split(run).items()}
    for number in range(8):
        assert split[f"other-{number}.png"] == split[f"synthetic-{number:04d}.png"]
    report = json.loads((run / REPORT).read_text())
    assert report["near_duplicate_pairs"] >= 8
    assert report["pairs_that_the_source_had_in_two_groups"] >= 8
    assert (report["leaks"], report["groups_in_two_parts"]) == (0, 0)
    assert sum(part["images"] for part in report["parts"].values()) == 68


def test_each_part_has_a_contact_sheet(run: Path):
    for part in FOLDS:
        sheet = np.asarray(Image.open(run / f"sheet-{part}.png"))
        assert sheet.shape[1] > 1000
        red = (sheet[..., 0] > 200) & (sheet[..., 1] < 90)
        assert red.any(), "no fractured X-ray is marked"


def test_an_audit_finds_the_leak_of_a_split(run: Path, tmp_path: Path):
    with (tmp_path / "theirs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "part"])
        for image in read_split(run):
            name = Path(image).name
            writer.writerow([name, "test" if name.startswith("other") else "train"])
    done = audit(run, str(tmp_path / "theirs.csv"))
    assert done.returncode == 1
    assert "THIS DIVISION LEAKS" in done.stderr
    report = json.loads((run / AUDIT).read_text())
    assert report["test_images_with_a_copy_elsewhere"] == 8
    assert {"train", "test"} == set(report["leaking_pairs"][0]["parts"])


def test_an_audit_finds_no_leak_in_a_clean_split(run: Path):
    done = audit(run, str(run / SPLIT))
    assert done.returncode == 0, done.stderr
    assert "no image has a copy in another part" in done.stderr


def test_an_audit_finds_groups_that_a_division_tears_apart(run: Path, tmp_path: Path):
    entries = read_manifest(run)
    write_manifest(tmp_path, [replace(entry, group="one patient") for entry in entries])
    shutil.copy(run / FILE, tmp_path)
    done = audit(tmp_path, str(run / SPLIT))
    assert done.returncode == 1
    assert "0 pairs of copies" in done.stderr
    assert "1 groups are torn apart" in done.stderr


def test_a_division_by_folders_is_judged_too(wrists: Path, tmp_path: Path):
    for row in rows_of(wrists):
        part = "test" if row["image"].startswith("other") else "train"
        folder = tmp_path / "theirs" / part / ("fractured" if row["fractured"] == "1" else "normal")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / row["image"]).write_bytes((wrists / "images" / row["image"]).read_bytes())
    collect([tmp_path / "theirs"], tmp_path / "run")
    assert audit(tmp_path / "run", "folders").returncode == 1


@pytest.mark.parametrize("degrees", [0.0, 7.0, 90.0, 133.0, 180.0])
def test_a_turned_brightened_flipped_copy_is_near_and_another_wrist_is_not(wrists: Path, degrees: float):
    one = Image.open(wrists / "images/synthetic-0020.png")
    copy = ImageOps.mirror(turned(one, degrees)).point(lambda value: min(255, round(value * 1.1 + 5)))
    here = fingerprint(np.asarray(one))
    assert distance(here, fingerprint(np.asarray(copy))) < NEAR
    other = fingerprint(pixels_of(wrists / "images/synthetic-0021.png"))
    assert distance(here, other) > NEAR
    assert find_near_duplicates([here, other, fingerprint(np.asarray(copy))])[0][:2] == (0, 2)


def test_a_blank_picture_is_a_copy_of_nothing():
    blank = fingerprint(np.full((64, 64), 90, np.uint8))
    assert find_near_duplicates([blank, blank]) == []


def test_groups_are_joined_along_chains_of_copies():
    entries = [an_entry(name, group=group) for name, group in zip("abcdef", "112233", strict=True)]
    groups = join_groups(entries, [(1, 2, 0.0), (3, 4, 0.1)])
    assert len(set(groups)) == 1
    assert join_groups(entries, []) == list("112233")


def test_parts_keep_their_share_of_each_stratum_and_a_seed_decides():
    random = np.random.default_rng(0)
    sizes = random.choice([1, 1, 1, 2, 4, 9], 600)
    entries = [
        an_entry(f"{g}-{i}", fractured=g % 6 == 0, group=f"g{g}", region=("hand", "leg")[g % 4 == 0])
        for g, size in enumerate(sizes)
        for i in range(size)
    ]
    groups = [entry.group for entry in entries]
    parts = split_by_group(entries, groups, 1)
    assert parts == split_by_group(entries, groups, 1) != split_by_group(entries, groups, 2)
    of_group = defaultdict(set)
    for group, part in zip(groups, parts, strict=True):
        of_group[group].add(part)
    assert max(map(len, of_group.values())) == 1, "a group stands on both sides"
    strata = Counter((entry.fractured, entry.region) for entry in entries)
    inside = Counter(
        (part, entry.fractured, entry.region) for entry, part in zip(entries, parts, strict=True)
    )
    for (fractured, region), total in strata.items():
        for part, folds in FOLDS.items():
            assert inside[part, fractured, region] / total == pytest.approx(len(folds) / 20, abs=0.06)


def test_too_few_groups_are_not_divided():
    with pytest.raises(StepRefused, match="at least"):
        split_by_group([an_entry()] * 30, ["one"] * 30, 1)
    few = [an_entry(str(i), fractured=i % 2 == 0, group=str(i)) for i in range(30)]
    with pytest.raises(StepRefused, match="20 fractured ones, or 20 intact"):
        split_by_group(few, [entry.group for entry in few], 1)


@needs_xrays
@pytest.mark.long
def test_fracatlas_is_divided_with_the_copies_that_its_groups_miss(tmp_path: Path):
    assert (XRAYS / "IMG0000000.jpg").read_bytes() == (XRAYS / "IMG0002292.jpg").read_bytes()
    kept = collect([FRACATLAS], tmp_path)
    assert (len(kept), sum(entry.fractured for entry in kept)) == (3208, 575)
    assert sum(bool(entry.polygons) for entry in kept) == 575
    report = prepare(tmp_path, seed=20261123)
    assert report["pairs_that_the_source_had_in_two_groups"] > 10
    assert report["leaks"] == 0
    for part in report["parts"].values():
        assert part["fractured"] / part["images"] == pytest.approx(575 / 3208, abs=0.02)
