"""Runs the network by OpenVINO: the fastest engine on x86 and ARM."""

import hashlib
import json
import mmap
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import openvino

from model.bundle import GRAPH, Bundle
from model.engines import OPENVINO, OPENVINO_INT8, Outputs
from model.engines.int8_graph import in_int8 as write_in_int8
from model.engines.int8_ranges import RANGES, read_ranges
from model.engines.openvino_core import core
from model.engines.openvino_stem import IN_FLOAT32, with_exact_stem
from model.network import FEATURES, FRACTURE, WHERE
from model.onnx_graph import with_weights

_HINT = {"PERFORMANCE_HINT": "LATENCY"}
"""One stream over all cores, so that a single radiograph has them all. For batches, streams of one core each
take 5 to 9 % less processor time; a second compiled network for them takes 187 MB (int8) to 305 MB more."""
_INT8_HINT = _HINT | {"INFERENCE_PRECISION_HINT": "f32"}
"""What is not in int8 stays in float32 on every processor: the bundle's figures of int8 are of that."""
PIECE = 1 << 16
"""Bytes written at once: Linux maps as much around what is looked at as was written together."""


class OpenVino:
    """See model.engines.Engine. What was compiled is kept in the folder `cache`, if there is one.

    OpenVINO arranges the weights for the processor, and keeps the original ones, too. Read from a mapped file
    the original ones need no memory: their pages are given back, and OpenVINO rarely reads them again.
    """

    def __init__(
        self,
        bundle: Bundle,
        progress: Callable[[str], object],
        cache: Path | None = None,
        in_int8: bool = False,
    ) -> None:
        """Compile the network in float or, with the bundle's ranges, in int8."""
        self.name = OPENVINO_INT8 if in_int8 else OPENVINO
        hint = _INT8_HINT if in_int8 else _HINT
        graphs = [GRAPH, RANGES] if in_int8 else [GRAPH]
        file = cache / f"{_fingerprint(bundle, graphs, hint)}.blob" if cache else None
        read = _read(file, hint, progress) if file else None
        if read is None:
            progress("loading the weights")
            network = read_int8_network(bundle) if in_int8 else read_network(bundle)
            progress("compiling for OpenVINO")
            compiled = core().compile_model(network, "CPU", hint)
            if file and _keep(compiled, file, progress):
                read = _read(file, hint, progress)
        self._compiled: openvino.CompiledModel
        self._mapped: mmap.mmap | None
        self._compiled, self._mapped = read or (compiled, None)
        self._outputs = [self._compiled.output(name) for name in (FRACTURE, WHERE, FEATURES)]
        self._batches: set[int] = set()

    def run(self, inputs: np.ndarray) -> Outputs:
        """Run the network, as model.engines.Engine describes."""
        size = inputs.shape[1]
        answers = self._compiled(inputs.reshape(-1, 1, size, size))
        if self._mapped and len(inputs) not in self._batches:
            # For the first batch of a size OpenVINO reads the original weights again.
            self._batches.add(len(inputs))
            self._mapped.madvise(mmap.MADV_DONTNEED)
        scores, cells, features = (np.asarray(answers[output], np.float32) for output in self._outputs)
        return Outputs(scores[:, 0], cells[:, 0], features)


def read_network(bundle: Bundle) -> openvino.Model:
    """Read the bundle's graph with its weights; its stem stays in float32."""
    network = core().read_model(with_weights(bundle))
    rounds = core().get_property("CPU", "INFERENCE_PRECISION_HINT") == openvino.Type.bf16
    return with_exact_stem(network) if rounds else network


def read_int8_network(bundle: Bundle) -> openvino.Model:
    """Read the bundle's graph with its weights and ranges, for arithmetic in int8."""
    return core().read_model(write_in_int8(bundle, read_ranges(bundle)))


def _fingerprint(bundle: Bundle, graphs: list[str], hint: dict[str, str]) -> str:
    """Hash all that the compiled network depends on: bundle, OpenVINO, processor."""
    names = ("FULL_DEVICE_NAME", "OPTIMIZATION_CAPABILITIES")
    processor = [core().get_property("CPU", name) for name in names]
    files = [hashlib.sha256((bundle.folder / name).read_bytes()).hexdigest() for name in graphs]
    how = [hint, IN_FLOAT32]
    of = json.dumps([bundle.sha256, *files, openvino.__version__, *processor, *how], default=str)
    return hashlib.sha256(of.encode()).hexdigest()


def _read(
    file: Path, hint: dict[str, str], progress: Callable[[str], object]
) -> tuple[openvino.CompiledModel, mmap.mmap] | None:
    """Read a kept network, and map the file that it lies in; None where there is none that can be used."""
    if not file.exists():
        return None
    progress("reading what was compiled before")
    try:
        with file.open("rb") as opened:
            # OpenVINO takes only writable memory; a page that is not written to stays the file's.
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_COPY)
        tensor = openvino.Tensor(np.frombuffer(mapped, np.uint8), shared_memory=True)
        return core().import_model(tensor, "CPU", hint), mapped
    except (OSError, RuntimeError, ValueError) as error:
        progress(f"that cannot be used: {error}")
        return None


def _keep(compiled: openvino.CompiledModel, file: Path, progress: Callable[[str], object]) -> bool:
    """Write the compiled network; False where the disk takes no writes."""
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whole or not at all: two workers may start at once.
        with TemporaryDirectory(dir=file.parent) as folder:
            written = Path(folder, file.name)
            program = compiled.export_model().getbuffer()
            with written.open("wb", buffering=0) as opened:
                for start in range(0, len(program), PIECE):
                    opened.write(program[start : start + PIECE])
            written.replace(file)
    except OSError as error:
        progress(f"what was compiled cannot be kept: {error}")
        return False
    return True
