"""Runs the network: by TensorFlow, by OpenVINO on x86 and ARM, or by ONNX Runtime.

All give the same scores, up to rounding; they differ in speed, and in what has to be installed. OpenVINO in
int8 rounds more: a bundle has figures of that.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from model.bundle import Bundle
from model.engines.int8_ranges import RANGES, has_ranges, measured_in_16_bits, meets_goals
from model.engines.processor import adds_int8_in_16_bits, adds_int8_in_32_bits
from model.errors import NoEngine

_TENSORFLOW, OPENVINO, ONNX_RUNTIME = "tensorflow", "openvino", "onnxruntime"
OPENVINO_INT8 = "openvino-int8"
ENGINES = {
    OPENVINO_INT8: "openvino",
    OPENVINO: "openvino",
    _TENSORFLOW: "tensorflow",
    ONNX_RUNTIME: "onnxruntime",
}
"""The engines and the package that each needs, by preference: the fastest first."""


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


def choose(wanted: str | None, bundle: Bundle) -> str:
    """Name the engine to use: the one `wanted`, else the best that is installed. Raises NoEngine.

    int8 is the best where the bundle's own figures meet the goals, and hold for the sums of this processor.
    """
    if wanted and wanted not in ENGINES:
        raise NoEngine(f"there is no engine {wanted!r}; take one of {', '.join(ENGINES)}")
    if wanted == OPENVINO_INT8 and not has_ranges(bundle):
        raise NoEngine(
            f"{bundle.folder} has no {RANGES}, without which {OPENVINO_INT8} cannot run it: draw the ranges "
            "by python -m training.quantise, or unset OSTEO_ENGINE"
        )
    for name in [wanted] if wanted else ENGINES:
        if find_spec(ENGINES[name]) and (wanted or name != OPENVINO_INT8 or _int8_pays(bundle)):
            return name
    missing = ENGINES[wanted] if wanted else " or ".join(dict.fromkeys(ENGINES.values()))
    raise NoEngine(f"{missing} is not installed; pip install 'osteo-synergy[worker]'")


def _int8_pays(bundle: Bundle) -> bool:
    if not has_ranges(bundle) or not meets_goals(bundle.description):
        return False
    # Sums in 32 bits are exact: figures that hold in 16 bits hold there, too.
    return adds_int8_in_32_bits() or (adds_int8_in_16_bits() and measured_in_16_bits(bundle.description))


def start(name: str, bundle: Bundle, progress: Callable[[str], object], cache: Path | None = None) -> Engine:
    """Load the bundle's network into the engine `name`; `progress` is called with each thing that is done.

    An engine that compiles for long keeps the compiled network in the folder `cache`, if there is one.
    """
    if name in (OPENVINO, OPENVINO_INT8):
        from model.engines.openvino import OpenVino

        return OpenVino(bundle, progress, cache, in_int8=name == OPENVINO_INT8)
    if name == ONNX_RUNTIME:
        from model.engines.onnx_runtime import OnnxRuntime

        return OnnxRuntime(bundle, progress)
    from model.engines.tensorflow import TensorFlow

    return TensorFlow(bundle, progress)
