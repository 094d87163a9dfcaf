"""Runs the network: by TensorFlow, by OpenVINO on x86 and ARM, or by ONNX Runtime.

All give the same scores, up to rounding; they differ in speed, and in what has to be installed.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from model.bundle import Bundle
from model.errors import NoEngine

_TENSORFLOW, OPENVINO, ONNX_RUNTIME = "tensorflow", "openvino", "onnxruntime"
ENGINES = (OPENVINO, _TENSORFLOW, ONNX_RUNTIME)
"""By preference: where both are, OpenVINO is the faster one. Each is named after the package it needs."""


class Outputs(NamedTuple):
    """The network's outputs for n pictures, all float32; model.network.build describes each."""

    scores: np.ndarray
    """(n,)"""
    cells: np.ndarray
    """(n, size / 16, size / 16)"""
    features: np.ndarray
    """(n, FEATURE_COUNT)"""


class Engine(Protocol):
    """A network with its weights, ready to run. `run` may be called from one thread at a time."""

    name: str

    def run(self, inputs: np.ndarray) -> Outputs:
        """Run the network on inputs, float32 (n, size, size, 1)."""


def choose(wanted: str | None) -> str:
    """Name the engine to use: the one `wanted`, else the best that is installed. Raises NoEngine."""
    if wanted and wanted not in ENGINES:
        raise NoEngine(f"there is no engine {wanted!r}; take one of {', '.join(ENGINES)}")
    for name in [wanted] if wanted else ENGINES:
        if find_spec(name):
            return name
    raise NoEngine(f"{wanted or ' or '.join(ENGINES)} is not installed; pip install 'osteo-synergy[worker]'")


def start(name: str, bundle: Bundle, progress: Callable[[str], object], cache: Path | None = None) -> Engine:
    """Load the bundle's network into the engine `name`; `progress` is called with each thing that is done.

    An engine that compiles for long keeps the compiled network in the folder `cache`, if there is one.
    """
    if name == OPENVINO:
        from model.engines.openvino import OpenVino

        return OpenVino(bundle, progress, cache)
    if name == ONNX_RUNTIME:
        from model.engines.onnx_runtime import OnnxRuntime

        return OnnxRuntime(bundle, progress)
    from model.engines.tensorflow import TensorFlow

    return TensorFlow(bundle, progress)
