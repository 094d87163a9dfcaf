"""Pre-training on a handful of gray pictures: killed, gone on with, and begun with."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.photographs import hold_out, read_photographs
from training.pretrain import CHECKPOINT, METRICS, TRUNK, Pretraining, draw
from training.run.errors import StepRefused

ROOT = Path(__file__).parents[2]
CONFIG = """
seed = 1
backbone = "ResNet50V2"
input_size = 32
batch_size = 8
steps = 4
warmup_steps = 1
peak_rate = 1e-3
weight_decay = 0.01
label_smoothing = 0.1
mixup = 0.2
precision = "float32"
checkpoint_every = 1
threads = 2
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two zips of a hundred pictures of noise in two classes, one bright."""
    folder = tmp_path_factory.mktemp("pretraining")
    random = np.random.default_rng(0)
    for part in range(2):
        with zipfile.ZipFile(folder / f"{part}.zip", "w") as archive:
            for number in range(100):
                name = ("n01", "n02")[number % 2]
                stored = io.BytesIO()
                noise = random.integers(0, 120, (32, 32), np.uint8) + 120 * (number % 2)
                Image.fromarray(noise.astype(np.uint8)).save(stored, "WEBP", lossless=True)
                archive.writestr(f"{name}_{part}{number}.webp", stored.getvalue())
    (folder / "config.toml").write_text(CONFIG)
    return folder


def start(folder: Path) -> "subprocess.Popen[str]":
    options = ("--config", folder / "config.toml", "--data", folder, "--out", folder / "out")
    command = (sys.executable, "-m", "tests.training.untraced", "training.pretrain", *map(str, options))
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ)


@pytest.mark.long
def test_it_goes_on_after_a_kill_and_what_it_learned_begins_a_network(folder: Path):
    from model.network import build
    from training.network.trunk import begin_with

    first = start(folder)
    history = folder / "out/history.jsonl"
    while not history.exists():
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert not (folder / "out" / TRUNK).exists()
    second = start(folder)
    output = second.communicate()[1]
    assert second.returncode == 0, output
    steps = [json.loads(line)["step"] for line in history.read_text().splitlines()]
    assert sorted(set(steps)) == [0, 1, 2, 3]
    assert len(steps) <= 5
    metrics = json.loads((folder / "out" / METRICS).read_text())
    assert metrics["held_out"] == 4
    assert (folder / "out" / CHECKPOINT).exists()

    model = build(64, "ResNet50V2")
    head = model.get_layer("dense").get_weights()[0]
    begin_with(str(folder / "out" / TRUNK), model)
    with np.load(folder / "out" / TRUNK) as stored:
        for layer in ("conv1_conv", "conv5_block3_2_conv", "post_bn"):
            for variable in model.get_layer(layer).weights:
                assert np.array_equal(variable.numpy(), stored[variable.path])
    assert np.array_equal(head, model.get_layer("dense").get_weights()[0])
    with pytest.raises(StepRefused, match="another backbone"):
        begin_with(str(folder / "out" / TRUNK), build(32, "ResNet101V2"))


def test_every_photograph_comes_up_once_a_round_from_its_step_alone(folder: Path):
    import tomllib

    learned, held = hold_out(read_photographs(folder))
    assert (len(learned.classes), len(held.classes), learned.class_count) == (196, 4, 2)
    assert (np.bincount(held.classes) == 2).all()
    config = Pretraining(**(tomllib.loads(CONFIG) | {"mixup": 0.0, "batch_size": 14}))
    batches = [draw(learned, config, step) for step in range(14)]
    assert sum(y.argmax(axis=1).sum() for _, y in batches) == learned.classes.sum() == 98
    assert np.array_equal(batches[5][0], draw(learned, config, 5)[0])
    x, y = batches[0]
    assert (x.shape, x.dtype, y.shape) == ((14, 32, 32, 1), np.float32, (14, 2))
    assert -1 <= x.min() < x.max() <= 1


def test_a_folder_without_photographs_says_so(tmp_path: Path):
    with pytest.raises(StepRefused, match="no zip"):
        read_photographs(tmp_path)
