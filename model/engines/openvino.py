"""OpenVINO: the fastest on x86 and ARM; it chooses bfloat16 itself where the processor has it."""

from collections.abc import Callable

import numpy as np
import openvino

from model.bundle import Bundle
from model.network import FRACTURE, WHERE
from model.onnx_graph import with_weights


class OpenVino:
    """See model.engines.Engine."""

    name = "openvino"

    def __init__(self, bundle: Bundle, progress: Callable[[str], object]) -> None:
        progress("loading the weights")
        network = read_network(bundle)
        progress("compiling for OpenVINO")
        self._compiled = openvino.Core().compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
        self._outputs = [self._compiled.output(name) for name in (FRACTURE, WHERE)]

    def run(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See model.engines.Engine."""
        size = inputs.shape[1]
        answers = self._compiled(inputs.reshape(-1, 1, size, size))
        scores, cells = (np.asarray(answers[output], np.float32) for output in self._outputs)
        return scores[:, 0], cells[:, 0]


def read_network(bundle: Bundle) -> openvino.Model:
    """The bundle's graph with the bundle's weights in it."""
    return openvino.Core().read_model(with_weights(bundle))
