"""Runs the network by ONNX Runtime: on every processor, LinuxONE included, without TensorFlow."""

from collections.abc import Callable

import numpy as np
import onnxruntime

from model.bundle import GRAPH, WEIGHTS, Bundle
from model.engines import Outputs
from model.network import FEATURES, FRACTURE, WHERE
from model.onnx_graph import INPUT
from model.weights import each_weight

MISLEADING = ["Pad_Fusion"]
"""Optimisations that change the answer. Version 1.21, which is Debian's, makes a border of zeros before a
MaxPool the pool's own, which counts as minus infinity: a score was off by 0.014, and nothing said so."""


class OnnxRuntime:
    """See model.engines.Engine."""

    name = "onnxruntime"

    def __init__(self, bundle: Bundle, progress: Callable[[str], object]) -> None:
        progress("loading the weights")
        graph = (bundle.folder / GRAPH).read_bytes()
        # Not those of blocks that the graph leaves out: ONNX Runtime takes none that it does not know.
        weights = {
            name: values for name, values in each_weight(bundle.folder / WEIGHTS) if name.encode() in graph
        }
        options = onnxruntime.SessionOptions()
        values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
        options.add_external_initializers(list(weights), values)
        progress("optimising the graph for ONNX Runtime")
        self._session = onnxruntime.InferenceSession(
            graph, options, providers=["CPUExecutionProvider"], disabled_optimizers=MISLEADING
        )

    def run(self, inputs: np.ndarray) -> Outputs:
        """Run the network, as model.engines.Engine describes."""
        size = inputs.shape[1]
        scores, cells, features = self._session.run(
            [FRACTURE, WHERE, FEATURES], {INPUT: inputs.reshape(-1, 1, size, size)}
        )
        return Outputs(scores[:, 0], cells[:, 0], features)
