"""Finds residual blocks that add nothing to their input, so that engines leave them out.

A network that was made deeper has such blocks until it is trained again. Without them it answers the same,
and faster.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

_BLOCK = re.compile(r"(conv\d_block\d+)_.+")


def idle_layers(network: "keras.Model") -> set[str]:
    """Name the layers of a ResNetV2's idle blocks: last convolution zero, shortcut direct."""
    idle = set()
    for layer in network.layers:
        block, last, _ = layer.name.partition("_3_conv")
        if last and not any(np.any(weight) for weight in layer.get_weights()):
            shortcut = network.get_layer(f"{block}_out").input[0]
            if shortcut is network.get_layer(f"{block}_preact_bn").input:
                idle.add(block)
    matches = [_BLOCK.fullmatch(layer.name) for layer in network.layers]
    return {match[0] for match in matches if match and match[1] in idle}


def past_idle_layers(network: "keras.Model") -> Iterator[tuple["keras.layers.Layer", list[int], int]]:
    """Yield the other layers in order, each with the ids of its input tensors and of its output tensor."""
    import keras

    idle = idle_layers(network)
    passed_on: dict[int, int] = {}
    for layer in network.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        given = [passed_on.get(id(one), id(one)) for one in inputs]
        if layer.name in idle:
            # Of such a block only the last layer is asked for, whose first input is its shortcut.
            passed_on[id(layer.output)] = given[0]
        else:
            yield layer, given, id(layer.output)


def without_idle_layers(network: "keras.Model") -> "keras.Model":
    """Connect the same layers to a network without its idle ones."""
    import keras

    tensors = {id(network.input): network.input}
    for layer, given, made in list(past_idle_layers(network)):
        inputs = [tensors[one] for one in given]
        tensors[made] = layer(inputs if len(inputs) > 1 else inputs[0])
    return keras.Model(network.input, {name: tensors[id(one)] for name, one in network.output.items()})
