"""Fills a network before training: from a bundle, from a file of `training.pretrain`, or at identity."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from model.bundle import MANIFEST, WEIGHTS, Bundle, read_bundle, read_metrics
from model.network import BACKBONES, build
from model.weights import read_weights
from training.network import efficientnet_lite
from training.network.growth import transfer
from training.run.atomic_file import whole_file
from training.run.errors import StepRefused

if TYPE_CHECKING:
    import keras


def write_trunk(path: Path, model: "keras.Model") -> None:
    """Write the weights of the backbone's layers in `model`, float32, each under its path."""
    arrays = {v.path: np.asarray(v, dtype="<f4") for layer in _trunk_layers(model) for v in layer.weights}
    with whole_file(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def build_to_train(input_size: int, backbone: str, blocks: bool = True, locate: bool = True) -> "keras.Model":
    """Build the untrained network of a backbone, or of a teacher; arguments as of `model.network.build`."""
    if backbone in efficientnet_lite.BACKBONES:
        return efficientnet_lite.build(input_size, backbone, blocks=blocks, locate=locate)
    return build(input_size, backbone, blocks=blocks, locate=locate, describe=False)


def begin_with(source: str, model: "keras.Model") -> None:
    """Fill `model` from `source`: a bundle's folder, or the backbone alone: `imagenet`, a file, or nothing.

    A bundle may be of another depth, see `growth`. ImageNet's first convolution sees colours, ours
    gray: its kernel is added up over them. StepRefused if a file of `write_trunk` is of another backbone,
    BundleRefused if a bundle is damaged.
    """
    if model.name in map(str.lower, efficientnet_lite.BACKBONES):
        if source != "imagenet":
            raise StepRefused(f"{model.name} begins with `imagenet`, and not with {source or 'nothing'}")
        efficientnet_lite.begin_with_imagenet(model)
    elif bundle := bundle_of(source):
        known = build(bundle.description.input_size, bundle.description.backbone)
        read_weights(bundle.folder / WEIGHTS, known)
        transfer(known, model)
    elif source == "imagenet":
        _begin_with_imagenet(model)
    elif source:
        _begin_with_file(Path(source), model)
    else:
        start_at_identity(model)


def bundle_of(source: str) -> Bundle | None:
    """Read the bundle that `source` names, or return None where it names something else."""
    return (
        read_bundle(Path(source), for_training=True)
        if source and (Path(source) / MANIFEST).exists()
        else None
    )


def describe_beginning(source: str) -> str:
    """Describe what a network begins with, for its card. A bundle's own beginning is part of it."""
    if not (bundle := bundle_of(source)):
        known = {"": "random weights, every block at identity", "imagenet": source}
        return known.get(source, f"a backbone that was pre-trained on photographs, {source}")
    metrics = read_metrics(bundle)
    before = metrics.get("began_with") or describe_beginning(metrics.get("config", {}).get("begin", ""))
    return f"{bundle.description.name} {bundle.description.version}, which began with {before}"


def _begin_with_file(path: Path, model: "keras.Model") -> None:
    with np.load(path, allow_pickle=False) as stored:
        wanted = {v.path: v for layer in _trunk_layers(model) for v in layer.weights}
        if odd := set(wanted) ^ set(stored.files):
            raise StepRefused(f"{path} is of another backbone than {model.name}: they differ in {min(odd)}")
        for name, variable in wanted.items():
            variable.assign(stored[name])


def _begin_with_imagenet(model: "keras.Model") -> None:
    import keras

    backbone = next(name for name in BACKBONES if name.lower() == model.name)
    coloured = getattr(keras.applications, backbone)(include_top=False, weights="imagenet")
    for layer in _trunk_layers(model):
        weights = coloured.get_layer(layer.name).get_weights()
        if layer.name == "conv1_conv":
            weights[0] = weights[0].sum(axis=2, keepdims=True)
        layer.set_weights(weights)


def start_at_identity(model: "keras.Model") -> None:
    """Let every residual block pass its input on unchanged at first: deep networks then learn from step one.

    Goyal et al., "Accurate, Large Minibatch SGD" (2017), section 5.1, by the last convolution in place of the
    last normalisation, which a ResNetV2 has elsewhere.
    """
    for layer in model.layers:
        if layer.name.endswith("_3_conv"):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])


def _trunk_layers(model: "keras.Model") -> list["keras.layers.Layer"]:
    return [layer for layer in model.layers if layer.name.startswith(("conv", "post_")) and layer.weights]
