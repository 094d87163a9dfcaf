"""A run of a few small steps on drawn radiographs: killed in the middle, gone on with, exported."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from model.bundle import MANIFEST
from model.classifier import Classifier
from model.image import Radiograph
from model.synthetic import draw_forearm
from tests.model.conftest import lenient_check
from training.config import read_config
from training.fit_check import CHECK, METRICS

ROOT = Path(__file__).parents[2]
CONFIG = """
version = "0.0.1"
seed = 1
batch_size = 4
positive_share = 0.5
where_weight = 1.0
cell_weight = 8.0
checkpoint_every = 1
threads = 2

[[phases]]
backbone = "ResNet50V2"
input_size = 32
steps = 4
warmup_steps = 1
peak_rate = 1e-4

[[phases]]
backbone = "ResNet50V2"
input_size = 64
steps = 2
warmup_steps = 1
peak_rate = 1e-4
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of drawn radiographs and the config of a tiny run."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "data/images").mkdir(parents=True)
    rows = ["image,fractured,group,region,hardware,boxes"]
    for seed in range(48):
        drawing = draw_forearm(seed, fracture=seed % 2 == 0, size=(90, 68))
        Image.fromarray(drawing.pixels).save(folder / f"data/images/{seed}.png")
        boxes = json.dumps([drawing.fracture] if drawing.fracture else [])
        region, hardware = ("hand", "leg")[seed % 4 // 2], int(seed % 8 == 0)
        rows.append(f'{seed}.png,{int(bool(drawing.fracture))},g{seed // 2},{region},{hardware},"{boxes}"')
    (folder / "data/labels.csv").write_text("\n".join(rows) + "\n")
    (folder / "config.toml").write_text(CONFIG)
    return folder


def start(folder: Path, out: Path, step: str = "train", *more: str) -> "subprocess.Popen[str]":
    options = ("--config", folder / "config.toml", "--data", folder / "data", "--out", out)
    command = (sys.executable, "-m", f"training.{step}", *map(str, options), *more)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def finish(process: "subprocess.Popen[str]") -> str:
    told = process.communicate()[1]
    assert process.returncode == 0, told
    return told


def history(out: Path) -> list[tuple[int, int]]:
    path = out / "history.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [(json.loads(line)["phase"], json.loads(line)["step"]) for line in lines]


def test_a_run_that_is_killed_goes_on_and_exports_a_bundle_that_serves(folder: Path):
    out = folder / "run"
    first = start(folder, out)
    while len(history(out)) < 3:
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    before = history(out)
    assert len(before) < 6, "it had ended before it was killed: this has shown nothing"
    told = finish(start(folder, out))
    assert "step" in told, "no progress was shown"
    steps = history(out)
    assert sorted(set(steps)) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    assert len(steps) <= 7, "more than the step under way was done again"
    finish(start(folder, out))
    assert history(out) == steps, "a finished run was trained on"

    (out / CHECK).write_text(lenient_check().to_json())
    held = {"xrays_held_out": 1, "xrays_passing": 1.0, "photographs_held_out": 1, "photographs_refused": 1.0}
    (out / METRICS).write_text(json.dumps(held))
    finish(start(folder, out, "export", "--bundle", str(folder / "bundle")))
    measured = json.loads((folder / "bundle" / MANIFEST).read_text())["metrics"]
    assert set(measured["test"]["auc"]) == {"value", "low", "high", "n"}
    assert measured["int8_against_float32"]["largest_change_of_probability"] < 0.1
    card = (folder / "bundle/MODEL_CARD.md").read_text()
    assert "{" not in card, "a figure was not filled in"
    prediction = Classifier.load(folder / "bundle").predict(
        [Radiograph(draw_forearm(99).pixels, "PNG", 0, "")]
    )
    assert 0 <= prediction[0].probability <= 1


def test_a_checkpoint_of_another_experiment_is_not_continued(folder: Path, tmp_path: Path):
    from model.network import build
    from training.checkpoint import Position, position_of, save

    config = read_config(folder / "config.toml")
    save(tmp_path / "checkpoint.npz", config.fingerprint, Position(0, 3), build(32, "ResNet50V2"))
    assert position_of(tmp_path / "checkpoint.npz", config.fingerprint) == Position(0, 3)
    with pytest.raises(ValueError, match="another config"):
        position_of(tmp_path / "checkpoint.npz", "other")
    assert position_of(tmp_path / "nothing.npz", config.fingerprint) is None


def test_an_unfinished_run_is_not_exported(folder: Path, tmp_path: Path):
    process = start(folder, tmp_path, "export", "--bundle", str(tmp_path / "bundle"))
    assert "not finished" in process.communicate()[1]
    assert process.returncode != 0
    assert not (tmp_path / "bundle").exists()


def test_a_config_with_an_unknown_key_is_refused(tmp_path: Path):
    (tmp_path / "config.toml").write_text(CONFIG.replace("threads", "threats"))
    with pytest.raises(TypeError, match="threats"):
        read_config(tmp_path / "config.toml")
    assert read_config(ROOT / "training/configs/first_bundle.toml").backbone == "ResNet152V2"
