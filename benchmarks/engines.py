"""Measures every engine against Keras's `predict`, OpenVINO's `benchmark_app`, and without the heatmap."""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.figures import BenchmarkFigure, figure
from model.bundle import WEIGHTS, Bundle
from model.classifier import LARGEST_BATCH
from model.engines import ENGINES, OPENVINO, OPENVINO_INT8, start
from model.engines.int8_ranges import has_ranges
from model.engines.processor import adds_int8_in_32_bits, multiplies_in_bfloat16
from model.idle_blocks import past_idle_layers
from model.letterbox import to_input
from model.network import FRACTURE, build
from model.synthetic import draw_forearm
from model.weights import read_weights

ROUNDS = 8
BENCHMARK_APP_SECONDS = 12
RATE_SECONDS = 6.0
PREDICT = "keras predict, one by one"
MATRICES = "a large matrix product in float32"

Work = Callable[[], object]


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    inputs = some_inputs(bundle.description.input_size)
    network = _network(bundle)
    works: dict[str, tuple[float, Work]] = {PREDICT: (1, lambda: network.predict(inputs[:1], verbose=0))}
    works[MATRICES] = _matrix_product()
    for name, package in ENGINES.items():
        if find_spec(package) and (name != OPENVINO_INT8 or has_ranges(bundle)):
            engine = start(name, bundle, lambda _: None)
            works[f"{name}, one by one"] = (1, _running(engine.run, inputs[:1]))
            works[_batches(name)] = (len(inputs), _running(engine.run, inputs))
    if find_spec(OPENVINO):
        works["without heatmap"] = (len(inputs), _without_heatmap(bundle, inputs))
    rates = _measure_rates(works, ROUNDS)
    names = [name for name in rates if name not in (PREDICT, MATRICES, "without heatmap")]
    best = max(names, key=lambda name: rates[name])
    goals = {best: 8 if multiplies_in_bfloat16() or adds_int8_in_32_bits() else 6}
    figures = [figure(f"engine: {PREDICT}", rates[PREDICT], "radiographs/s")] + [
        figure(f"engine: {name}", rates[name], "radiographs/s", rates[PREDICT], goals.get(name))
        for name in names
    ]
    figures.append(
        figure(
            f"engine: arithmetic of {best}, against {MATRICES}",
            rates[best] * _operations(network) / 1e9,
            "GFLOP/s",
            rates[MATRICES] / 1e9,
        )
    )
    if _batches(OPENVINO_INT8) in rates:
        int8, real = rates[_batches(OPENVINO_INT8)], rates[_batches(OPENVINO)]
        figures.append(figure("engine: int8, against openvino in float", int8, "radiographs/s", real, 1.6))
        alone = {name: _convolutions(name == "int8", len(inputs)) for name in ("int8", "float")}
        each = _measure_rates(alone, ROUNDS)
        name = "engine: int8, six convolutions with nothing around them, against float"
        figures.append(figure(name, each["int8"] / 1e9, "GFLOP/s", each["float"] / 1e9))
    if find_spec(OPENVINO):
        whole, without = rates[_batches(OPENVINO)], rates["without heatmap"]
        ours, theirs = _beside_benchmark_app(bundle, works[_batches(OPENVINO)])
        figures += [
            figure("engine: cost of the heatmap", 1 / whole, "s/radiograph", 1 / without, at_most=2),
            figure("engine: against benchmark_app", ours, "radiographs/s", theirs, at_least=0.85),
        ]
    return figures


def some_inputs(size: int) -> np.ndarray:
    """Draw one full batch of radiographs as the network sees them."""
    return np.stack([to_input(draw_forearm(seed).pixels, size) for seed in range(LARGEST_BATCH)])


def _measure_rates(works: dict[str, tuple[float, Work]], rounds: int) -> dict[str, float]:
    """Measure radiographs (or other things) a second by name, for works of so many each.

    They run in turn, round after round, so that a machine whose speed drifts favours none; the median counts.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for turn in tqdm(range(rounds + 1), "engines, rounds", leave=False):
        for name, (_, work) in works.items():
            began = time.perf_counter()
            work()
            if turn:  # The first one warms up.
                seconds[name].append(time.perf_counter() - began)
    return {name: count / median(seconds[name]) for name, (count, _) in works.items()}


def rate(count: float, work: Work) -> float:
    """Measure how many a second a work of `count` at a time does, by itself."""
    began, done = time.perf_counter(), 0.0
    while (spent := time.perf_counter() - began) < RATE_SECONDS:
        work()
        done += count
    return done / spent


def _batches(engine: str) -> str:
    return f"{engine}, in batches of {LARGEST_BATCH}"


def _running(run: Callable[[np.ndarray], object], inputs: np.ndarray) -> Work:
    return lambda: run(inputs)


def _network(bundle: Bundle) -> Any:
    network = build(bundle.description.input_size, bundle.description.backbone)
    read_weights(bundle.folder / WEIGHTS, network)
    return network


def _operations(network: Any) -> float:
    """Multiplications and additions that one radiograph takes, in the kernels that an engine goes through."""
    kernels = (
        (layer.kernel.shape, layer.output.shape)
        for layer, _, _ in past_idle_layers(network)
        if hasattr(layer, "kernel")
    )
    return float(sum(2 * np.prod(kernel) * np.prod(made[1:-1]) for kernel, made in kernels))


def _matrix_product(side: int = 2048) -> tuple[float, Work]:
    """Measure operations a second of a large product in float32, which is nearly what a processor can do."""
    import tensorflow as tf

    matrix = tf.random.normal((side, side))
    return 2.0 * side**3, lambda: tf.linalg.matmul(matrix, matrix).numpy()


def _convolutions(in_int8: bool, batch: int, side: int = 20, channels: int = 256) -> tuple[float, Work]:
    """Measure operations a second of six 3 x 3 convolutions in a row: the most that int8 could gain here."""
    import onnx
    import openvino
    from onnx import helper, numpy_helper

    from model.engines.openvino_core import core

    kernel = np.random.default_rng(0).integers(-60, 61, (channels, channels, 3, 3), np.int8)
    constants = {"step": np.float32(0.02), "zero": np.uint8(0), "scale": np.float32(1e-4), "kernel": kernel}
    nodes = [helper.make_node("DequantizeLinear", ["kernel", "scale"], ["weights"])]
    given = "input"
    for number in range(6):
        if in_int8:
            steps = f"steps {number}"
            nodes.append(helper.make_node("QuantizeLinear", [given, "step", "zero"], [steps]))
            given = f"rounded {number}"
            nodes.append(helper.make_node("DequantizeLinear", [steps, "step", "zero"], [given]))
        nodes.append(helper.make_node("Conv", [given, "weights"], [f"sum {number}"], pads=[1] * 4))
        given = f"output {number}"
        nodes.append(helper.make_node("Relu", [f"sum {number}"], [given]))
    shape = [batch, channels, side, side]
    graph = helper.make_graph(
        nodes,
        "convolutions",
        [helper.make_tensor_value_info("input", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(given, onnx.TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    network: openvino.Model = core().read_model(model.SerializeToString())
    compiled = core().compile_model(network, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    values = np.random.default_rng(1).random(shape, np.float32)
    return 6.0 * 2 * kernel.size * batch * side * side, lambda: compiled(values)


def _without_heatmap(bundle: Bundle, inputs: np.ndarray) -> Work:
    import openvino

    from model.engines.openvino import read_network
    from model.engines.openvino_core import core

    network = read_network(bundle)
    alone = openvino.Model([network.output(FRACTURE)], network.get_parameters(), "without-heatmap")
    compiled = core().compile_model(alone, "CPU", {"PERFORMANCE_HINT": "LATENCY"})
    size = inputs.shape[1]
    return lambda: compiled(inputs.reshape(-1, 1, size, size))


def _beside_benchmark_app(bundle: Bundle, work: tuple[float, Work]) -> tuple[float, float]:
    """Radiographs a second of our engine, and of OpenVINO's own tool with the same network, in turn.

    Of the tool it is the better of its two ways; of ours the mean of the runs around them.
    """
    import openvino

    from model.engines.openvino import read_network

    tool = Path(sys.executable).with_name("benchmark_app")
    size = bundle.description.input_size
    ours, theirs = [rate(*work)], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "network.xml"
        openvino.save_model(read_network(bundle), file, compress_to_fp16=False)
        for way in (
            ("-hint", "latency", "-data_shape", f"[{LARGEST_BATCH},1,{size},{size}]"),
            ("-hint", "throughput", "-data_shape", f"[1,1,{size},{size}]"),
        ):
            theirs.append(_throughput([tool, "-m", file, "-d", "CPU", "-t", BENCHMARK_APP_SECONDS, *way]))
            ours.append(rate(*work))
    return mean(ours), max(theirs)


def _throughput(command: list[object]) -> float:
    output = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"Throughput:\s+([\d.]+) FPS", output)
    if not found:
        raise RuntimeError(f"benchmark_app said nothing of its throughput:\n{output}")
    return float(found[1])
