import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.training.collections_of_xrays import a_collection, add_image, as_fracatlas, rows_of, turned
from training.collect import REPORT, collect
from training.data.layouts import LayoutError, find_xrays
from training.data.manifest import read_manifest


@pytest.fixture(scope="module")
def wrists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_collection(tmp_path_factory.mktemp("collect") / "wrists", 24)


def test_a_table_becomes_a_manifest_with_all_that_it_says(wrists: Path, tmp_path: Path):
    kept = collect([wrists], tmp_path / "run")
    assert read_manifest(tmp_path / "run") == kept
    assert len(kept) == 24
    one = next(entry for entry in kept if entry.image.endswith("synthetic-0000.png"))
    assert (tmp_path / "run" / one.image).samefile(wrists / "images/synthetic-0000.png")
    assert (one.fractured, one.region, one.frontal, one.licence) == (True, "hand", True, "synthetic")
    assert (one.width, one.height, len(one.boxes), len(one.sha256)) == (140, 140, 1, 64)
    assert sum(entry.fractured for entry in kept) == 12


def test_fracatlas_as_published_says_the_same_and_has_outlines(wrists: Path, tmp_path: Path):
    published = as_fracatlas(wrists, tmp_path / "FracAtlas")
    of_table = {Path(entry.image).name: entry for entry in collect([wrists], tmp_path / "a")}
    of_archive = {Path(entry.image).name: entry for entry in collect([published], tmp_path / "b")}
    assert set(of_table) == set(of_archive)
    for name, entry in of_archive.items():
        assert (entry.fractured, entry.boxes) == (of_table[name].fractured, of_table[name].boxes)
        assert entry.licence == "CC-BY 4.0"
        assert bool(entry.polygons) is entry.fractured
    groups = {name: entry.group for name, entry in of_archive.items()}
    assert groups["synthetic-0008.png"] == groups["synthetic-0015.png"] != groups["synthetic-0016.png"]


def test_a_folder_for_each_class_needs_nothing_else(wrists: Path, tmp_path: Path):
    for row in rows_of(wrists):
        folder = tmp_path / "mine" / "Wrist" / ("Fractured" if row["fractured"] == "1" else "Not Fractured")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / row["image"]).write_bytes((wrists / "images" / row["image"]).read_bytes())
    found = find_xrays(tmp_path / "mine")
    assert (len(found), sum(one.fractured for one in found)) == (24, 12)
    assert {one.region for one in found} == {"wrist"}


def test_a_dicom_file_needs_no_suffix_and_a_part_is_no_region(tmp_path: Path):
    for part, name in (("train", "IM000001"), ("val", "IM000002"), ("Test", "README")):
        folder = tmp_path / part / "Wrist" / "fractured"
        folder.mkdir(parents=True)
        (folder / name).write_bytes(b"a note" if name == "README" else bytes(128) + b"DICM")
    for index in (tmp_path / "DICOMDIR", tmp_path / "REPORT", tmp_path / "val/Wrist/fractured/DICOMDIR"):
        index.write_bytes(bytes(128) + b"DICM")
    (tmp_path / "train" / "normal").mkdir()
    (tmp_path / "train" / "normal" / "a.png").touch()
    found = {one.path.name: (one.fractured, one.region) for one in find_xrays(tmp_path)}
    assert found == {"IM000001": (True, "wrist"), "IM000002": (True, "wrist"), "a.png": (False, "unknown")}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"labels.csv": "file,fractured\na,1\n"}, "no column image"),
        ({"labels.csv": "image,fractured\na.png,yes\n"}, "line 2"),
        ({"broken bones/a.png": ""}, "labels.csv"),
        ({"dataset.csv": "image_id\n"}, "unpack all"),
        ({"readme.txt": ""}, "no X-rays"),
    ],
)
def test_a_folder_of_another_form_is_refused_with_what_to_do(
    content: dict[str, str], said: str, tmp_path: Path
):
    for name, text in content.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with pytest.raises(LayoutError, match=said):
        find_xrays(tmp_path)


def test_broken_images_and_copies_with_both_labels_are_refused_and_counted(tmp_path: Path):
    folder = a_collection(tmp_path / "wrists", 12)
    whole = Image.open(folder / "images/synthetic-0001.png")
    add_image(folder, "cut-off.jpg", whole)
    stored = io.BytesIO()
    whole.save(stored, "JPEG")
    (folder / "images/cut-off.jpg").write_bytes(stored.getvalue()[: len(stored.getvalue()) // 2])
    strip = whole.copy()
    strip.paste(128, (0, 110, 140, 140))
    add_image(folder, "strip.png", strip)
    add_image(folder, "missing.png", whole)
    (folder / "images/missing.png").unlink()
    add_image(folder, "copy.png", turned(Image.open(folder / "images/synthetic-0002.png"), 40))

    kept = collect([folder], tmp_path / "run")
    report = json.loads((tmp_path / "run" / REPORT).read_text())
    refused = {Path(one["image"]).name: one["why"] for one in report["refused_images"]}
    assert set(refused) == {"cut-off.jpg", "strip.png", "missing.png", "copy.png", "synthetic-0002.png"}
    assert "flat gray strip" in refused["strip.png"]
    assert "other label" in refused["copy.png"]
    assert (report["found"], report["kept"], report["refused"]) == (16, 11, 5) == (16, len(kept), 5)


def test_a_licence_that_a_collection_does_not_state_is_an_option(wrists: Path, tmp_path: Path):
    kept = collect([wrists], tmp_path, {"wrists": "CC-BY 4.0, Their names"})
    assert {entry.licence for entry in read_manifest(tmp_path)} == {"CC-BY 4.0, Their names"}
    assert len(kept) == 24
    command = [
        sys.executable,
        "-m",
        "training.collect",
        str(wrists),
        "--run",
        str(tmp_path),
        "--licence",
        "x",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "NAME=LICENCE" in done.stderr


def test_a_collection_of_nothing_readable_says_why(tmp_path: Path):
    folder = a_collection(tmp_path / "wrists", 2)
    for image in (folder / "images").iterdir():
        image.write_bytes(b"no picture")
    assert collect([folder], tmp_path / "run") == []
    report = json.loads((tmp_path / "run" / REPORT).read_text())
    assert sum(report["refused_because"].values()) == 2


def test_groups_of_one_name_in_two_folders_are_counted(wrists: Path, tmp_path: Path):
    both = [wrists, a_collection(tmp_path / "other", 24)]
    collect(both, tmp_path / "run")
    named = [{row["group"] for row in rows_of(folder)} for folder in both]
    report = json.loads((tmp_path / "run" / REPORT).read_text())
    assert report["groups_in_two_folders"] == len(named[0] & named[1]) > 0


def test_what_a_killed_run_had_measured_is_not_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = a_collection(tmp_path / "wrists", 6)
    kept = collect([folder], tmp_path / "run")

    def never(pixels: object) -> None:
        raise AssertionError("measured again")

    monkeypatch.setattr("training.data.fingerprints.fingerprint", never)
    assert collect([folder], tmp_path / "run") == kept


def test_the_collect_command_prints_what_it_refused(tmp_path: Path):
    folder = a_collection(tmp_path / "wrists", 4)
    (folder / "images/synthetic-0003.png").write_bytes(b"no picture")
    command = [sys.executable, "-m", "training.collect", str(folder), "--run", str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert "3 X-rays, 2 fractured" in done
    assert "refused 1: " in done
    wrong = subprocess.run(
        [*command[:3], str(tmp_path), "--run", str(tmp_path)], capture_output=True, text=True
    )
    assert wrong.returncode == 1
    assert "Traceback" not in wrong.stderr
