"""Runs the network by OpenVINO: the fastest engine on x86 and ARM."""

import hashlib
import json
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
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
"""One stream over all cores, so that a single radiograph has them all."""
_BY_STREAMS = {"PERFORMANCE_HINT": "THROUGHPUT"}
_IN_INT8 = {"INFERENCE_PRECISION_HINT": "f32"}
"""What is not in int8 stays in float32 on every processor: the bundle's figures of int8 are of that."""
_MOST_STREAMS = 8
"""As many as a full batch of model.classifier has radiographs. Further cores are shared among the streams."""
PIECE = 1 << 16
"""Bytes written at once: Linux maps as much around what is looked at as was written together."""


class OpenVino:
    """See model.engines.Engine. What was compiled is kept in the folder `cache`, if there is one.

    In int8 the network is compiled twice. One takes a single radiograph over all cores. The other takes
    several in streams of one core each, whose cores never wait for each other. In float it is compiled once:
    its weights are four times as large, and a second network would hold them twice.
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
        source = _Source(bundle, progress, cache, in_int8)
        self._whole = _Network(*source.compile(_HINT))
        _, cores = core().get_property("CPU", "RANGE_FOR_STREAMS")
        streams = min(cores, _MOST_STREAMS)
        self._streams: _Streams | None = None
        if in_int8 and streams > 1:
            self._streams = _Streams(*source.compile(_BY_STREAMS | {"NUM_STREAMS": str(streams)}), streams)

    def run(self, inputs: np.ndarray) -> Outputs:
        """Run the network, as model.engines.Engine describes."""
        size = inputs.shape[1]
        network = self._streams if self._streams and len(inputs) > 1 else self._whole
        # A stream reads this very array while it runs. What OpenVINO copies by itself would be gone by then.
        given = np.ascontiguousarray(inputs.reshape(-1, 1, size, size), np.float32)
        scores, cells, features = network.run(given)
        return Outputs(scores[:, 0], cells[:, 0], features)


class _Network:
    """A compiled network. It takes inputs (n, 1, size, size) as one batch.

    OpenVINO arranges the weights for the processor, and keeps the original ones, too. Read from a mapped file
    the original ones need no memory: their pages are given back, and OpenVINO rarely reads them again.
    """

    def __init__(self, compiled: openvino.CompiledModel, mapped: mmap.mmap | None) -> None:
        self._compiled = compiled
        self._mapped = mapped
        self._batches: set[int] = set()
        self._outputs = [compiled.output(name) for name in (FRACTURE, WHERE, FEATURES)]

    def run(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of the network's three heads, float32, each (n, ...)."""
        answers = self._compiled(inputs)
        self._give_back(len(inputs))
        return [np.asarray(answers[output], np.float32) for output in self._outputs]

    def _give_back(self, batch: int) -> None:
        if self._mapped and batch not in self._batches:
            # For the first batch of a size OpenVINO reads the original weights again.
            self._batches.add(batch)
            self._mapped.madvise(mmap.MADV_DONTNEED)


class _Streams(_Network):
    """A compiled network that takes each of its inputs alone, in the next stream that is free."""

    def __init__(self, compiled: openvino.CompiledModel, mapped: mmap.mmap | None, streams: int) -> None:
        super().__init__(compiled, mapped)
        self._queue = openvino.AsyncInferQueue(compiled, streams)
        self._queue.set_callback(self._take_answer)

    def run(self, inputs: np.ndarray) -> list[np.ndarray]:
        """Return the outputs of the network's three heads, float32, each (n, ...)."""
        answers: list[list[np.ndarray]] = [[] for _ in inputs]
        for number, answer in enumerate(answers):
            self._queue.start_async(inputs[number : number + 1], answer, share_inputs=True)
        self._queue.wait_all()
        self._give_back(1)
        return [np.concatenate(head) for head in zip(*answers, strict=True)]

    def _take_answer(self, request: openvino.InferRequest, answer: list[np.ndarray]) -> None:
        answer += [np.array(request.get_tensor(output).data, np.float32) for output in self._outputs]


@dataclass(frozen=True)
class _Source:
    """Compiles the network of a bundle, in float or in int8."""

    bundle: Bundle
    progress: Callable[[str], object]
    cache: Path | None
    in_int8: bool

    def compile(self, hint: dict[str, str]) -> tuple[openvino.CompiledModel, mmap.mmap | None]:
        """Compile the network, or read what was compiled before; with the mapped file that it lies in."""
        hint = hint | _IN_INT8 if self.in_int8 else hint
        graphs = [GRAPH, RANGES] if self.in_int8 else [GRAPH]
        file = self.cache / f"{_fingerprint(self.bundle, graphs, hint)}.blob" if self.cache else None
        if file and (read := _read(file, hint, self.progress)):
            return read
        compiled = core().compile_model(self._network, "CPU", hint)
        if file and _keep(compiled, file, self.progress) and (read := _read(file, hint, self.progress)):
            return read
        return compiled, None

    @cached_property
    def _network(self) -> openvino.Model:
        self.progress("loading the weights")
        network = read_int8_network(self.bundle) if self.in_int8 else read_network(self.bundle)
        self.progress("compiling for OpenVINO")
        return network


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
