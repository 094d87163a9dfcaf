"""Carries the weights from one phase to the next, also into a deeper or shallower network of the family."""

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

_BLOCK = re.compile(r"(conv[2-5])_block(\d+)_(.+)")


def transfer(source: "keras.Model", target: "keras.Model") -> None:
    """Copy the weights of `source` into their places in `target`; blocks only `target` has become identity.

    In a ResNetV2 a block adds to its input, so one whose last convolution is zero returns its input: at first
    the deeper network computes what the shallower one did. The last block of a stage halves the map, so its
    weights go to the last block. Blocks that only `source` has are left out: the less they have learned since
    they were identity, the less the answers change.
    """
    ends_source, ends_target = _stage_ends(source), _stage_ends(target)
    taken = set()
    for layer in source.layers:
        if not layer.weights:
            continue
        name = layer.name
        if match := _BLOCK.fullmatch(name):
            stage, block = match[1], int(match[2])
            if block == ends_source[stage]:
                name = f"{stage}_block{ends_target[stage]}_{match[3]}"
            elif block >= ends_target[stage]:
                continue
        target.get_layer(name).set_weights(layer.get_weights())
        taken.add(name)
    for layer in target.layers:
        if layer.name not in taken and layer.name.endswith("_3_conv"):
            layer.set_weights([np.zeros_like(weight) for weight in layer.get_weights()])


def _stage_ends(model: "keras.Model") -> dict[str, int]:
    ends: dict[str, int] = {}
    for layer in model.layers:
        if match := _BLOCK.fullmatch(layer.name):
            ends[match[1]] = max(ends.get(match[1], 0), int(match[2]))
    return ends
