import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from model.bundle import (
    CARD,
    CHECK,
    GRAPH,
    MANIFEST,
    MEASURED,
    WEIGHTS,
    Bundle,
    read_bundle,
    read_metrics,
    write_bundle,
)
from model.engines.int8_ranges import RANGES, has_ranges, read_ranges
from model.errors import BundleRefused
from tests.model.conftest import DESCRIPTION


def test_a_bundle_says_what_was_written(bundle: Bundle):
    assert read_bundle(bundle.folder).description == DESCRIPTION
    assert len(bundle.sha256) == 64


def test_the_shipped_bundle_names_the_licences_of_what_it_learned_from():
    licence = read_bundle(Path(__file__).parents[2] / "model/bundle").description.licence
    assert licence
    assert "unknown at its origin" in licence


@pytest.mark.parametrize("name", [WEIGHTS, CHECK, CARD])
def test_one_flipped_bit_is_refused(copied: Path, name: str):
    data = bytearray((copied / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copied / name).write_bytes(data)
    with pytest.raises(BundleRefused, match=f"{name} does not match its checksum"):
        read_bundle(copied)


@pytest.mark.parametrize("name", [WEIGHTS, CHECK, CARD])
def test_a_missing_file_is_refused(copied: Path, name: str):
    (copied / name).unlink()
    with pytest.raises(BundleRefused, match=f"{name} is missing"):
        read_bundle(copied)


def changed(folder: Path, **changes: object) -> Path:
    values = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(values | changes))
    return folder


def test_another_preprocessing_is_refused(copied: Path):
    with pytest.raises(BundleRefused, match="preprocessing 99"):
        read_bundle(changed(copied, preprocessing_version=99))


def test_a_manifest_without_a_checksum_is_refused(copied: Path):
    with pytest.raises(BundleRefused, match="no checksum"):
        read_bundle(changed(copied, files={}))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 2}'])
def test_a_damaged_manifest_is_refused(copied: Path, text: str):
    (copied / MANIFEST).write_text(text)
    with pytest.raises(BundleRefused, match="damaged"):
        read_bundle(copied)


def test_no_bundle_at_all_says_where_it_was_looked_for(tmp_path: Path):
    with pytest.raises(BundleRefused, match="no bundle in"):
        read_bundle(tmp_path / "nowhere")


def test_a_failed_write_leaves_the_old_bundle(copied: Path):
    def broken(path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_bundle(copied, DESCRIPTION, broken, b"", {})
    assert read_bundle(copied).description == DESCRIPTION


def test_a_new_bundle_replaces_the_old_one_whole(copied: Path):
    (copied / "left over").write_text("of the old one")
    weights, check = (copied / WEIGHTS).read_bytes(), (copied / CHECK).read_text()
    write_bundle(
        copied,
        DESCRIPTION,
        lambda path: path.write_bytes(weights) and None,
        b"graph",
        {CHECK: check, CARD: "new"},
    )
    assert (copied / CARD).read_text() == "new"
    assert {path.name for path in copied.iterdir()} == {WEIGHTS, GRAPH, CHECK, CARD, MANIFEST}
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]
    shutil.rmtree(copied)


def test_a_folder_that_is_no_bundle_is_not_replaced(copied: Path):
    (copied / MANIFEST).unlink()
    files = sorted(copied.iterdir())
    with pytest.raises(BundleRefused, match="is not a bundle, and is not replaced"):
        write_bundle(copied, DESCRIPTION, lambda path: None, b"", {})
    assert sorted(copied.iterdir()) == files
    assert [path.name for path in copied.parent.iterdir()] == [copied.name]


@pytest.mark.parametrize(
    ("metrics", "enough"),
    [({}, False), ({"fixed_on": {"enough": False}}, False), ({"fixed_on": {"enough": True}}, True)],
)
def test_a_bundle_that_is_silent_on_its_base_rests_on_too_few(bundle: Bundle, metrics: dict, enough: bool):
    assert replace(bundle.description, metrics=metrics).rests_on_enough is enough


def test_the_shipped_bundle_rests_on_enough():
    assert read_bundle(Path(__file__).parents[2] / "model" / "bundle").description.rests_on_enough


def test_a_file_that_the_manifest_does_not_name_is_not_used(copied: Path):
    (copied / MEASURED).write_text('{"test": {}}')
    (copied / RANGES).write_text('{"format": 1, "drawn": {}, "ranges": {"conv2_block1_1_conv": 3.0}}')
    bundle = read_bundle(copied)
    assert read_metrics(bundle) == {}
    assert not has_ranges(bundle)
    with pytest.raises(BundleRefused, match=f"{RANGES} is missing"):
        read_ranges(bundle)
