"""OpenVINO: the fastest on x86 and ARM; it chooses bfloat16 itself where the processor has it."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino

from model.bundle import GRAPH, Bundle
from model.network import FRACTURE, WHERE
from model.onnx_graph import with_weights

HINT = {"PERFORMANCE_HINT": "LATENCY"}


class OpenVino:
    """See model.engines.Engine. What was compiled is kept in the folder `cache`, if there is one."""

    name = "openvino"

    def __init__(self, bundle: Bundle, progress: Callable[[str], object], cache: Path | None = None) -> None:
        core = openvino.Core()
        kept = cache / f"{_fingerprint(core, bundle)}.blob" if cache else None
        compiled = _read(core, kept, progress) if kept else None
        if compiled is None:
            progress("loading the weights")
            network = read_network(bundle)
            progress("compiling for OpenVINO")
            compiled = core.compile_model(network, "CPU", HINT)
            if kept:
                _keep(compiled, kept, progress)
        self._compiled = compiled
        self._outputs = [compiled.output(name) for name in (FRACTURE, WHERE)]

    def run(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See model.engines.Engine."""
        size = inputs.shape[1]
        answers = self._compiled(inputs.reshape(-1, 1, size, size))
        scores, cells = (np.asarray(answers[output], np.float32) for output in self._outputs)
        return scores[:, 0], cells[:, 0]


def read_network(bundle: Bundle) -> openvino.Model:
    """The bundle's graph with the bundle's weights in it."""
    return openvino.Core().read_model(with_weights(bundle))


def _fingerprint(core: openvino.Core, bundle: Bundle) -> str:
    """Changes with whatever makes another program of the network: bundle, OpenVINO, processor."""
    processor = [core.get_property("CPU", name) for name in ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")]
    graph = hashlib.sha256((bundle.folder / GRAPH).read_bytes()).hexdigest()
    of = json.dumps([bundle.sha256, graph, openvino.__version__, *processor, HINT], default=str)
    return hashlib.sha256(of.encode()).hexdigest()


def _read(
    core: openvino.Core, kept: Path, progress: Callable[[str], object]
) -> openvino.CompiledModel | None:
    """What was kept; None where there is nothing, or nothing that can be used."""
    if not kept.exists():
        return None
    progress("reading what was compiled before")
    try:
        return core.import_model(kept.read_bytes(), "CPU", HINT)
    except (OSError, RuntimeError) as error:
        progress(f"that cannot be used: {error}")
        return None


def _keep(compiled: openvino.CompiledModel, kept: Path, progress: Callable[[str], object]) -> None:
    try:
        kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whole or not at all: two workers may start at once.
        with TemporaryDirectory(dir=kept.parent) as folder:
            written = Path(folder, kept.name)
            written.write_bytes(compiled.export_model().getvalue())
            written.replace(kept)
    except OSError as error:
        progress(f"what was compiled cannot be kept: {error}")
