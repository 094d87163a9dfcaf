"""The same code trains on TensorFlow and on JAX: a step from the same weights has the same losses."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
STEP = """
import json, sys
from pathlib import Path
from training.network.backend import prepare_backend
prepare_backend(2)
from tests.training.collections_of_xrays import an_entry
from tests.training.test_train import CONFIG
from training.batches.draw import Batches
from training.run.checkpoint import Position, restore, save
from training.run.config import Phase, read_config
from training.batches.examples import Example
from training.batches.step import compile_phase, take_average, train_step
from training.batches import step as step_module
import keras, numpy as np

def one_layer_of_a_kind(size, *_, **__):
    image = keras.Input((size, size, 1))
    seen = keras.layers.Conv2D(8, 16, strides=16, name="conv5_only")(image)
    seen = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.9)(seen))
    where = keras.layers.Conv2D(1, 1, activation="sigmoid", name=step_module.WHERE)(seen)
    pooled = keras.layers.GlobalAveragePooling2D()(seen)
    fracture = keras.layers.Dense(1, activation="sigmoid", name=step_module.FRACTURE)(pooled)
    return keras.Model(image, {step_module.FRACTURE: fracture, step_module.WHERE: where})

if sys.argv[3] == "small":
    step_module.build = one_layer_of_a_kind
folder = Path(sys.argv[1])
(folder / "config.toml").write_text(CONFIG)
config = read_config(folder / "config.toml")
random = np.random.default_rng(0)
examples = [
    Example(an_entry(str(i), i % 2 == 0), "g", random.integers(0, 255, (128, 128), np.uint8),
            ((8.0, 8.0, 20.0, 20.0),) if i % 2 == 0 else (), ())
    for i in range(8)
]
phase = Phase("ResNet50V2", 64, 9, 0, 1e-4, 1.0, 0.9)
model = compile_phase(config, phase)
for layer in model.layers:
    if "drop" in layer.name:
        layer.rate = 0.0
checkpoint = folder / "checkpoint.npz"
if checkpoint.exists():
    restore(checkpoint, model)
else:
    save(checkpoint, "any", Position(0, 0), model)
batches = Batches(examples, 4, 0.5, 1)
if sys.argv[2] == "predict":
    given = model.predict_on_batch(batches.draw(0, phase).x)
    found = [[float(number) for _, output in sorted(given.items()) for number in output.ravel()]]
else:
    found = [train_step(model, batches.draw(step, phase)) for step in range(2)]
    # The end of a phase. JAX gives away the arrays that a network predicts with: the optimiser holds others.
    take_average(model)
    model.predict_on_batch(batches.draw(2, phase).x)
    save(folder / "averaged.npz", "any", Position(0, 2), model)
print(json.dumps([keras.backend.backend(), *found]))
"""


@pytest.mark.long
def test_jax_predicts_what_tensorflow_does(tmp_path: Path):
    said = on_both("predict", "whole", tmp_path)
    assert said["jax"][0] == pytest.approx(said["tensorflow"][0], abs=1e-4)


@pytest.mark.parametrize("network", ["small", pytest.param("whole", marks=pytest.mark.long)])
def test_a_step_on_jax_is_a_step_on_tensorflow(tmp_path: Path, network: str):
    """JAX compiles the whole network for a minute, and one layer of each kind in seconds."""
    said = on_both("step", network, tmp_path)
    (first, second), (first_too, second_too) = said["tensorflow"], said["jax"]
    assert first == pytest.approx(first_too, abs=0.01)
    # Adam takes the sign of the smallest gradients, too: after a step the two have come apart a little.
    assert second == pytest.approx(second_too, rel=0.1)


def on_both(what: str, network: str, folder: Path) -> dict[str, list]:
    """What the script prints, by backend."""
    said = {}
    for backend in ("tensorflow", "jax"):
        environment = os.environ | {"KERAS_BACKEND": backend}
        command = [sys.executable, "-c", STEP, str(folder), what, network]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
        name, *said[backend] = json.loads(done.stdout.splitlines()[-1])
        assert name == backend
    return said
