"""A run of a few small steps on drawn wrists: killed in the middle, and gone on with."""

import json
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.training.collections_of_xrays import a_collection
from training.batches.step import take_average
from training.collect import collect
from training.data.split import division_of
from training.network.optimizer import make_optimizer
from training.network.trained import TRAINED, AnotherDivision, config_of, refuse_another_division
from training.prepare import prepare
from training.run.config import Config, Phase, read_config
from training.run.curves import CURVES, HISTORY, VALIDATION, read_lines
from training.run.errors import StepRefused
from training.run.test_part_openings import OPENINGS, AlreadyOpened, record_opening

if TYPE_CHECKING:
    import keras

ROOT = Path(__file__).parents[2]
CONFIG = """
version = "0.0.1"
seed = 1
begin = ""
precision = "float32"
batch_size = 4
positive_share = 0.5
label_smoothing = 0.05
where_weight = 1.0
cell_weight = 8.0
weight_decay = 0.01
checkpoint_every = 1
validate_every = 2
threads = 2

[[phases]]
backbone = "ResNet50V2"
input_size = 32
steps = 4
warmup_steps = 1
peak_rate = 1e-4
trunk_rate = 0.0
average = 0.0

[[phases]]
backbone = "ResNet50V2"
input_size = 64
window = 0.5
steps = 2
warmup_steps = 1
peak_rate = 1e-4
trunk_rate = 0.3
average = 0.9
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A divided collection of drawn wrists, and the config of a tiny experiment."""
    run = tmp_path_factory.mktemp("training")
    collect([a_collection(run / "wrists", 60)], run)
    prepare(run, 1)
    (run / "config.toml").write_text(CONFIG)
    return run


def start(step: str, run: Path, *more: str) -> "subprocess.Popen[str]":
    command = (sys.executable, "-m", "tests.training.untraced", f"training.{step}", "--run", str(run), *more)
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def train(run: Path) -> "subprocess.Popen[str]":
    return start("train", run, "--config", str(run / "config.toml"))


def finish(process: "subprocess.Popen[str]") -> str:
    output = process.communicate()[1]
    assert process.returncode == 0, output
    return output


def history(run: Path) -> list[tuple[int, int]]:
    path = run / HISTORY
    lines = path.read_text().splitlines() if path.exists() else []
    return [(json.loads(line)["phase"], json.loads(line)["step"]) for line in lines]


@pytest.mark.long
def test_a_run_that_is_killed_goes_on_and_ends_as_if_it_had_not_been(run: Path):
    assert "run python -m training.train" in start("evaluate", run, "--bundle", "x").communicate()[1]
    first = train(run)
    while len(history(run)) < 3:
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert len(history(run)) < 6, "it had ended before it was killed: this has shown nothing"
    assert not (run / TRAINED).exists()
    output = finish(train(run))
    assert "step" in output, "no progress was shown"
    steps = history(run)
    assert sorted(set(steps)) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)]
    assert len(steps) <= 7, "more than the step under way was done again"
    assert [line["at"] for line in read_lines(run / VALIDATION)] == [1, 3, 5]
    assert {"loss", "accuracy", "auc"} <= set(read_lines(run / VALIDATION)[0])
    assert (run / CURVES).read_bytes()[:4] == b"\x89PNG"
    trained = (run / TRAINED).read_bytes()
    finish(train(run))
    assert history(run) == steps, "a finished run was trained on"
    assert (run / TRAINED).read_bytes() == trained
    assert config_of(run) == read_config(run / "config.toml")
    refuse_another_division(run, division_of(run))
    prepare(run, seed=2)
    with pytest.raises(AnotherDivision, match="train again"):
        refuse_another_division(run, division_of(run))


def test_a_test_part_is_opened_for_one_network_unless_again(tmp_path: Path):
    assert record_opening(tmp_path, "division", "first", again=False) == 1
    assert record_opening(tmp_path, "division", "first", again=False) == 1
    with pytest.raises(AlreadyOpened, match="--again"):
        record_opening(tmp_path, "division", "second", again=False)
    assert record_opening(tmp_path, "division", "second", again=True) == 2
    assert record_opening(tmp_path, "another", "third", again=False) == 1
    assert len(json.loads((tmp_path / OPENINGS).read_text())) == 3


def test_a_checkpoint_of_another_experiment_is_not_continued(tmp_path: Path):
    from model.network import build
    from training.run.checkpoint import Position, position_of, save

    (tmp_path / "config.toml").write_text(CONFIG)
    config = read_config(tmp_path / "config.toml")
    checkpoint = tmp_path / "checkpoint.npz"
    save(checkpoint, config.fingerprint(0), Position(0, 3), build(32, "ResNet50V2"))
    assert position_of(checkpoint, config.fingerprint) == Position(0, 3)
    first, second = config.phases
    later = replace(config, phases=(first, replace(second, steps=9), second))
    assert position_of(checkpoint, later.fingerprint) == Position(0, 3), "phases to come may change"
    other_machine = replace(config, threads=16, checkpoint_every=5, validate_every=50)
    assert position_of(checkpoint, other_machine.fingerprint) == Position(0, 3)
    for other in (replace(config, seed=2), replace(config, phases=(replace(first, steps=9), second))):
        with pytest.raises(StepRefused, match="another config or division"):
            position_of(checkpoint, other.fingerprint)
    assert position_of(tmp_path / "nothing.npz", config.fingerprint) is None


def test_a_config_with_an_unknown_key_is_refused(tmp_path: Path):
    (tmp_path / "config.toml").write_text(CONFIG.replace("threads", "threats"))
    with pytest.raises(StepRefused, match=r"config\.toml.*threats"):
        read_config(tmp_path / "config.toml")
    without_phases, _, _ = CONFIG.partition("[[phases]]")
    for broken, said in ((without_phases, "phases"), (CONFIG.replace("=", ":"), r"config\.toml: .*line")):
        (tmp_path / "config.toml").write_text(broken)
        with pytest.raises(StepRefused, match=said):
            read_config(tmp_path / "config.toml")
    for name in ("reference", "onward", "longer", "steadier", "sharper"):
        assert read_config(ROOT / f"training/configs/{name}.toml").backbone == "ResNet152V2"


def a_little_network(phase: Phase, config: Config) -> "keras.Model":
    """Layers with the names of a backbone's stages and of a head, and the optimiser of a phase."""
    import keras

    keras.utils.set_random_seed(1)
    inside = keras.Input((4,))
    x = inside
    for name in ("conv2_block1", "conv4_block1", "conv5_block1", "dense"):
        x = keras.layers.Dense(4, name=name)(x)
    model = keras.Model(inside, x)
    model.compile(optimizer=make_optimizer(config, phase, model), loss="mse", jit_compile=False)
    return model


def kernels(model: "keras.Model") -> dict[str, np.ndarray]:
    return {layer.name: layer.get_weights()[0] for layer in model.layers if layer.weights}


def learn(model: "keras.Model") -> None:
    model.train_on_batch(np.eye(4, dtype=np.float32), np.full((4, 4), 9, np.float32))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "config.toml").write_text(CONFIG)
    return read_config(tmp_path / "config.toml")


def test_a_phase_of_no_steps_has_an_optimiser_too(config: Config):
    a_little_network(Phase("", 32, 0, 0, 0.0, 1.0, 0.0), config)


def test_a_frozen_backbone_stays_and_rates_grow_with_depth(config: Config):
    def moved(trunk_rate: float, **rates: float) -> dict[str, float]:
        phase = Phase("", 32, 9, 0, 1e-3, trunk_rate, 0.0, **rates)
        model = a_little_network(phase, replace(config, weight_decay=0.0))
        before = kernels(model)
        learn(model)
        return {name: float(np.abs(kernel - before[name]).max()) for name, kernel in kernels(model).items()}

    frozen = moved(0.0)
    assert [name for name, change in frozen.items() if change] == ["dense"]
    free = moved(0.5)
    # Adam's first step is as long as the rate: it shows each layer's share.
    shares = [free[name] / free["dense"] for name in ("conv2_block1", "conv4_block1", "conv5_block1")]
    assert shares == pytest.approx([0.5 / 8, 0.5 / 2, 0.5], rel=0.05)
    level = moved(0.5, shallower_rate=1.0)
    assert level["conv2_block1"] == pytest.approx(level["conv5_block1"], rel=0.05)


def test_the_next_phase_takes_over_the_moving_average(config: Config):
    model = a_little_network(Phase("", 32, 9, 0, 1e-2, 1.0, 0.9), config)
    seen = []
    for _ in range(3):
        learn(model)
        seen.append(kernels(model)["dense"])
    take_average(model)
    expected = 0.9 * (0.9 * seen[0] + 0.1 * seen[1]) + 0.1 * seen[2]
    assert np.allclose(kernels(model)["dense"], expected, atol=1e-6)
    assert not np.allclose(seen[2], expected, atol=1e-4)
    plain = a_little_network(Phase("", 32, 9, 0, 1e-2, 1.0, 0.0), config)
    before = kernels(plain)["dense"]
    take_average(plain)
    assert np.array_equal(kernels(plain)["dense"], before)
