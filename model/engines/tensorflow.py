"""Runs the network by TensorFlow, as a graph frozen to constants: the engine for LinuxONE's accelerator."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from model.bundle import WEIGHTS, Bundle
from model.engines import Outputs
from model.engines.processor import multiplies_in_bfloat16
from model.idle_blocks import without_idle_layers
from model.network import FEATURES, FRACTURE, WHERE, build
from model.weights import read_weights


class TensorFlow:
    """See model.engines.Engine."""

    name = "tensorflow"

    def __init__(self, bundle: Bundle, progress: Callable[[str], object]) -> None:
        described = bundle.description
        progress(f"building {described.backbone} for {described.input_size} x {described.input_size} pixels")
        network = build(described.input_size, described.backbone)
        progress("loading the weights")
        read_weights(bundle.folder / WEIGHTS, network)
        network = without_idle_layers(network)
        if multiplies_in_bfloat16():
            _take_bfloat16(network)
        progress("freezing the graph")
        # One trace for every size of batch; without the signature each new size would take seconds.
        shape = tf.TensorSpec((None, described.input_size, described.input_size, 1), tf.float32)

        def flat_outputs(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            outputs = network(inputs, training=False)
            return outputs[FRACTURE][:, 0], outputs[WHERE][..., 0], outputs[FEATURES]

        traced = tf.function(flat_outputs).get_concrete_function(shape)
        self._frozen = convert_variables_to_constants_v2(traced)

    def run(self, inputs: np.ndarray) -> Outputs:
        """Run the network, as model.engines.Engine describes."""
        return Outputs(*(output.numpy() for output in self._frozen(tf.constant(inputs))))


def _take_bfloat16(network: keras.Model) -> None:
    """Let the convolutions between the stem and the map of cells take bfloat16: decision 8 says why these."""
    _, *others = (layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D))
    for layer in others:
        if layer.name != WHERE:
            layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")
