"""Residual blocks that add nothing to what they are given, as those do that a network has grown by and not
trained since: engines leave them out, which changes no answer and saves their time.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

_BLOCK = re.compile(r"(conv\d_block\d+)_.+")


def idle_layers(network: keras.Model) -> set[str]:
    """Name the layers of those blocks of a ResNetV2 that only pass on: the last convolution is zero."""
    idle = set()
    for layer in network.layers:
        block, last, _ = layer.name.partition("_3_conv")
        if last and not any(np.any(weight) for weight in layer.get_weights()):
            shortcut = network.get_layer(f"{block}_out").input[0]
            if shortcut is network.get_layer(f"{block}_preact_bn").input:
                idle.add(block)
    matches = [_BLOCK.fullmatch(layer.name) for layer in network.layers]
    return {match[0] for match in matches if match and match[1] in idle}


def without_idle_layers(network: keras.Model) -> keras.Model:
    """The same network, of the same layers, past its idle ones."""
    import keras

    idle = idle_layers(network)
    outputs = {id(network.input): network.input}
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        output = id(layer.output)
        given = [outputs[id(one)] for one in _inputs(layer)]
        # Of an idle block's layers only the last is asked for, and is its shortcut.
        outputs[output] = given[0] if layer.name in idle else layer(given if len(given) > 1 else given[0])
    return keras.Model(network.input, {name: outputs[id(one)] for name, one in network.output.items()})


def _inputs(layer: keras.layers.Layer) -> list[keras.KerasTensor]:
    return layer.input if isinstance(layer.input, list) else [layer.input]
