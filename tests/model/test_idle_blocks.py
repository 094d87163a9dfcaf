"""The idle blocks of a network that has grown and not learned since are left out; others stay."""

from typing import TYPE_CHECKING

import numpy as np

from model.idle_blocks import idle_layers, without_idle_layers
from model.network import FRACTURE, WHERE, build
from tests.model.conftest import untrained
from training.network.growth import transfer

if TYPE_CHECKING:
    import keras


def convolutions(network: "keras.Model") -> int:
    import keras

    return sum(isinstance(layer, keras.layers.Conv2D) for layer in network.layers)


def test_idle_blocks_are_left_out_and_the_answer_stays():
    shallow, deep = untrained(), build(64, "ResNet101V2")
    transfer(shallow, deep)
    cut = without_idle_layers(deep)
    assert convolutions(cut) == convolutions(shallow) < convolutions(deep)
    inputs = np.random.default_rng(1).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    # Not `predict`: tracing takes longer than the layers one by one.
    whole, said = deep(inputs, training=False), cut(inputs, training=False)
    for head in (FRACTURE, WHERE):
        assert np.allclose(whole[head], said[head], atol=1e-6)


def test_a_block_that_has_learned_the_least_stays():
    network = untrained()
    assert idle_layers(network) == set()
    kernel, bias = (np.zeros_like(one) for one in network.get_layer("conv3_block2_3_conv").get_weights())
    network.get_layer("conv3_block2_3_conv").set_weights([kernel, bias])
    assert {name.rpartition("_")[0][:12] for name in idle_layers(network)} == {"conv3_block2"}
    bias[7] = 1e-9
    network.get_layer("conv3_block2_3_conv").set_weights([kernel, bias])
    assert idle_layers(network) == set()
