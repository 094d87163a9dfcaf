"""The check for X-rays is fitted for a bundle without its run."""

import csv
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.bundle import CARD, CHECK, MEASURED, read_bundle, read_metrics
from model.classifier import Classifier
from model.engines.int8_ranges import PARITY
from model.radiograph_check import RadiographCheck
from stack.part import ROOT
from tests.model.conftest import DESCRIPTION, untrained, write
from tests.training.collections_of_xrays import a_collection
from training.batches.examples import entries_of
from training.collect import collect
from training.data.bundle_xrays import find_parts
from training.data.known_xrays import FILE, PARTS, KnownXrays
from training.data.split import VALIDATION, division_of
from training.evaluate import _read_check
from training.evaluation.summary import SHIPPED
from training.fit_check import fit_bundle
from training.network.trained import write_trained
from training.prepare import prepare
from training.radiograph_check.fit import FITTED_FOR, METRICS
from training.radiograph_check.pictures import Amounts
from training.run.changed_bundle import write_changed
from training.run.config import read_config
from training.run.errors import StepRefused

XRAYS, FROM_ELSEWHERE = 24, 4


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn wrists; the last of them are of none of the bundle's parts."""
    return a_collection(tmp_path_factory.mktemp("check") / "wrists", XRAYS + FROM_ELSEWHERE)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of four kinds, in a zip as it is read."""
    path, random = tmp_path_factory.mktemp("check") / "noise.zip", np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(20):
            stored = io.BytesIO()
            pixels = random.integers(0, 60 + 40 * (number % 4), (128, 128), np.uint8)
            Image.fromarray(pixels).save(stored, "WEBP")
            archive.writestr(f"kind{number % 10}_{number}.webp", stored.getvalue())
    return path


def known_of(paths: list[Path]) -> KnownXrays:
    """X-rays two thirds of which were learned from; the others are of the other two parts in turn."""
    digests = [list(hashlib.sha256(path.read_bytes()).digest()) for path in paths]
    parts = [0 if i % 3 else 1 + i // 3 % 2 for i in range(len(paths))]
    size = len(paths)
    return KnownXrays(
        np.array(digests, np.uint8), np.ones((size, 128), np.int8), np.array(parts, np.uint8), np.zeros(4)
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, collection: Path) -> Path:
    """A small bundle that knows its X-rays, with the shipped one's metrics."""
    described = replace(DESCRIPTION, version="1.4.9+int8")
    beside = tmp_path_factory.mktemp("made")
    folder = write(beside / "bundle", described, untrained()).folder
    texts = {MEASURED: (SHIPPED / MEASURED).read_text()}
    paths = sorted((collection / "images").iterdir())[:XRAYS]
    known_of(paths).write(beside / FILE)
    bundle = write_changed(folder, read_bundle(folder), described, texts)
    shutil.copy(beside / FILE, folder / FILE)
    return bundle.folder


@pytest.fixture
def finished(made: Path, tmp_path: Path) -> Path:
    """A copy of that bundle, to be changed."""
    return shutil.copytree(made, tmp_path / "bundle")


def test_a_bundle_without_its_run_is_given_a_check(
    finished: Path, collection: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    before = read_bundle(finished)
    metrics, untouched = read_metrics(before), (finished / CHECK).read_text()
    amounts = Amounts(drawings=6, pages=10, reduced=2)
    monkeypatch.chdir(tmp_path)
    measured = fit_bundle(finished, [collection], [photographs], [photographs], amounts)
    after = read_bundle(finished)
    counts = {name: row["refused"]["n"] for name, row in measured.items()}
    assert counts == {"xrays": 4, "reduced_xrays": 2, "photographs": 4, "pages": 5, "other_xrays": 10}
    assert PARITY in metrics
    del metrics[PARITY]
    assert read_metrics(after) == metrics | {"radiograph_check": measured}
    assert after.description == replace(
        before.description, version="1.4.10+int8", metrics={"radiograph_check": measured}
    )
    assert after.sha256 == before.sha256, "the weights are the same"
    card = (finished / CARD).read_text()
    assert card.startswith(f"# {before.description.name} 1.4.10+int8\n")
    for row in ("X-rays of the validation part | 4", "some of these, reduced to 64 to 128 pixels | 2"):
        assert f"| {row} |" in card
    assert "Arithmetic in int8" not in card, "its figures are of the check before"
    assert any(Classifier.load(finished)._check.coefficients)
    assert (finished / CHECK).read_text() != untouched


@pytest.mark.long
def test_a_run_is_given_a_check_of_its_own_network_by_the_same_recipe(photographs: Path, tmp_path: Path):
    """By the command, since a backend's threads are set before its first operation."""
    collect([a_collection(tmp_path / "wrists", 40)], tmp_path)
    prepare(tmp_path, 1)
    config = read_config(ROOT / "training/configs/smoke.toml")
    write_trained(tmp_path, config, division_of(tmp_path), "nothing", untrained())
    command = [sys.executable, "-m", "training.fit_check", "--run", str(tmp_path)]
    archives = ["--photographs", str(photographs), "--xrays"]
    measured = json.loads(subprocess.check_output([*command, *archives], cwd=ROOT, text=True))
    written = json.loads((tmp_path / METRICS).read_text())
    network = written.pop(FITTED_FOR)
    assert written == measured
    assert _read_check(tmp_path, network) == ((tmp_path / CHECK).read_text(), measured)
    with pytest.raises(StepRefused, match="fitted for another network"):
        _read_check(tmp_path, "a network of more steps")
    counts = {name: row["refused"]["n"] for name, row in measured.items()}
    held = len(entries_of(tmp_path, VALIDATION))
    assert counts == {"xrays": held, "reduced_xrays": held, "photographs": 4, "pages": 60}
    check = RadiographCheck.from_json((tmp_path / CHECK).read_text())
    assert check.refused <= check.doubtful
    assert list((tmp_path / "scores").glob("*/check-features/*.npy")), "what a cut command goes on with"


def test_xrays_are_found_by_content_in_the_part_they_were_of(
    finished: Path, collection: Path, tmp_path: Path
):
    renamed = shutil.copytree(collection, tmp_path / "renamed")
    with (renamed / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        (renamed / "images" / row["image"]).rename(renamed / "images" / f"my-{row['image']}")
        row["image"] = f"my-{row['image']}"
    with (renamed / "labels.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    parts = find_parts(finished, [renamed])
    assert [len(parts[part]) for part in PARTS] == [16, 4, 4]
    assert all(path.name.startswith("my-") and source == renamed.name for path, _, source in parts[PARTS[0]])


def test_a_bundle_that_names_no_xrays_or_others_is_refused(finished: Path, tmp_path: Path):
    others = a_collection(tmp_path / "others", 3)
    for path in (others / "images").iterdir():
        path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(StepRefused, match="train, validation, test part"):
        find_parts(finished, [others])
    (finished / FILE).unlink()
    with pytest.raises(StepRefused, match="does not say"):
        find_parts(finished, [others])
