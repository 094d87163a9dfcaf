"""Every engine gives what Keras gives: on an untrained network, and with the bundled model on real X-rays."""

import csv
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pytest

from model.bundle import GRAPH, WEIGHTS, Bundle, read_bundle
from model.classifier import calibrate
from model.decode.image import Limits, decode
from model.engines import ENGINES, OPENVINO_INT8, Engine, Outputs, choose, start
from model.engines.openvino import read_network
from model.engines.openvino_core import core
from model.engines.openvino_stem import with_exact_stem
from model.engines.processor import multiplies_in_bfloat16
from model.errors import NoEngine
from model.idle_blocks import without_idle_layers
from model.letterbox import to_input
from model.network import FEATURES, FRACTURE, WHERE, build
from model.onnx_graph import INPUT, to_onnx, with_weights
from model.synthetic import draw_forearm
from model.weights import read_weights
from stack.part import ROOT
from tests.xrays import FRACATLAS, XRAYS, needs_xrays
from training import export_onnx

if TYPE_CHECKING:
    import keras

BUNDLED = ROOT / "model" / "bundle"
CLOSE = {"onnxruntime": 1e-5, "openvino": 1e-3, "tensorflow": 1e-3}
"""How far a score may be off; all but ONNX Runtime take bfloat16 where the processor has it."""
IN_FLOAT = [name for name in ENGINES if name != OPENVINO_INT8]


def by_keras(bundle: Bundle, inputs: np.ndarray) -> Outputs:
    """What Keras says; of more than a few X-rays, past the network's idle blocks, which changes nothing."""
    network = build(bundle.description.input_size, bundle.description.backbone)
    read_weights(bundle.folder / WEIGHTS, network)
    few = inputs[:4]
    whole = layer_by_layer(network, few)
    if len(inputs) == len(few):
        outputs = whole
    else:
        outputs = layer_by_layer(without_idle_layers(network), inputs)
        assert np.allclose(outputs[FRACTURE][: len(few)], whole[FRACTURE], atol=1e-6)
        assert np.allclose(outputs[WHERE][: len(few)], whole[WHERE], atol=1e-6)
    return Outputs(outputs[FRACTURE][:, 0], outputs[WHERE][..., 0], outputs[FEATURES])


def layer_by_layer(network: "keras.Model", inputs: np.ndarray) -> dict[str, np.ndarray]:
    """What `predict` gives, which takes longer to trace a network than the layers take one by one."""
    batches = [network(inputs[at : at + 8], training=False) for at in range(0, len(inputs), 8)]
    return {name: np.concatenate([np.asarray(one[name]) for one in batches]) for name in batches[0]}


def in_batches(engine: Engine, inputs: np.ndarray) -> Outputs:
    answers = [engine.run(inputs[at : at + 8]) for at in range(0, len(inputs), 8)]
    return Outputs(*(np.concatenate(parts) for parts in zip(*answers, strict=True)))


def close(features: np.ndarray, expected: np.ndarray, tolerance: float) -> bool:
    """Features are sums of many products: on average as close as scores are, in their own spread.

    A single one may be four times as far off in bfloat16.
    """
    off = np.sqrt(np.mean((features - expected) ** 2))
    return bool(off <= 10 * tolerance * expected.std())


@pytest.fixture(scope="module")
def forearms() -> np.ndarray:
    return np.stack([to_input(draw_forearm(seed).pixels, 64) for seed in range(11)])


@pytest.fixture(scope="module")
def said_of_forearms(bundle: Bundle, forearms: np.ndarray) -> Outputs:
    return by_keras(bundle, forearms)


@pytest.fixture(scope="module")
def said_by_grown(grown: Bundle, forearms: np.ndarray) -> Outputs:
    return by_keras(grown, forearms[:3])


@pytest.mark.parametrize("name", IN_FLOAT)
def test_an_engine_gives_what_keras_gives_for_any_size_of_batch(
    bundle: Bundle, forearms: np.ndarray, said_of_forearms: Outputs, name: str
):
    inputs, expected = forearms, said_of_forearms
    engine = start(name, bundle, lambda _: None)
    for batch in (1, 3, 11):
        found = engine.run(inputs[:batch])
        assert [array.dtype for array in found] == [np.float32] * 3
        assert np.allclose(found.scores, expected.scores[:batch], atol=CLOSE[name])
        assert np.allclose(found.cells, expected.cells[:batch], atol=CLOSE[name])
        assert close(found.features, expected.features[:batch], CLOSE[name])


@pytest.mark.parametrize(
    "name",
    [name if name == "onnxruntime" else pytest.param(name, marks=pytest.mark.long) for name in IN_FLOAT],
)
def test_engines_leave_idle_blocks_out_and_answer_the_same(
    grown: Bundle, bundle: Bundle, forearms: np.ndarray, said_by_grown: Outputs, name: str
):
    convolutions = [(one.folder / GRAPH).read_bytes().count(b"/turned") for one in (bundle, grown)]
    assert convolutions[0] == convolutions[1]
    inputs, expected = forearms[:3], said_by_grown
    found = start(name, grown, lambda _: None).run(inputs)
    assert np.allclose(found.scores, expected.scores, atol=CLOSE[name])
    assert np.allclose(found.cells, expected.cells, atol=CLOSE[name])
    assert close(found.features, expected.features, CLOSE[name])


def test_the_network_as_one_file_answers_what_its_engines_do(
    bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    file = tmp_path / "whole.onnx"
    monkeypatch.setattr("sys.argv", ["whole_graph", str(bundle.folder), str(file)])
    export_onnx.main()
    inputs = to_input(draw_forearm(3).pixels, 64)[np.newaxis]
    scores, cells, _ = start("onnxruntime", bundle, lambda _: None).run(inputs)
    found = onnxruntime.InferenceSession(file).run([FRACTURE, WHERE], {INPUT: inputs.reshape(1, 1, 64, 64)})
    assert np.allclose(found[0][:, 0], scores, atol=CLOSE["onnxruntime"])
    assert np.allclose(found[1][:, 0], cells, atol=CLOSE["onnxruntime"])


@pytest.fixture(scope="module", params=[2, pytest.param(200, marks=pytest.mark.long)])
def real(request: pytest.FixtureRequest) -> tuple[np.ndarray, Outputs]:
    """Some real X-rays as the bundled network sees them, and the scores and cells that Keras gives them."""
    bundle = read_bundle(BUNDLED)
    inputs = np.stack(
        [to_input(pixels(path), bundle.description.input_size) for path in some_xrays(request.param)]
    )
    return inputs, by_keras(bundle, inputs)


@needs_xrays
@pytest.mark.parametrize("name", ["openvino", pytest.param("tensorflow", marks=pytest.mark.long)])
def test_on_real_xrays_an_engine_says_what_keras_says(name: str, real: tuple[np.ndarray, Outputs]):
    bundle = read_bundle(BUNDLED)
    described = bundle.description
    inputs, exact = real
    found = in_batches(start(name, bundle, lambda _: None), inputs)
    probability, expected = (calibrate(one.scores, described.calibration) for one in (found, exact))
    assert np.abs(probability - expected).max() < 0.01
    assert np.abs(found.cells - exact.cells).max() < 0.05
    for threshold in (described.thresholds.low, described.thresholds.high):
        changed = (probability >= threshold) != (expected >= threshold)
        assert np.abs(expected[changed] - threshold).max(initial=0) < 0.01


def test_the_bundled_graph_is_the_one_that_the_code_makes():
    described = read_bundle(BUNDLED).description
    network = build(described.input_size, described.backbone)
    read_weights(BUNDLED / WEIGHTS, network)
    assert (BUNDLED / "graph.onnx").read_bytes() == to_onnx(network)


def test_an_engine_that_is_not_there_is_refused_with_what_to_do(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(NoEngine, match="openvino-int8, openvino, tensorflow, onnxruntime"):
        choose("abacus", bundle)
    monkeypatch.setattr("model.engines.find_spec", lambda name: name == "onnxruntime" or None)
    assert choose(None, bundle) == "onnxruntime"
    with pytest.raises(NoEngine, match="pip install"):
        choose("openvino", bundle)


def pixels(path: Path) -> np.ndarray:
    return decode(path.read_bytes(), Limits()).pixels


def some_xrays(count: int) -> list[Path]:
    """As many with a fracture as without, spread over the collection."""
    with (FRACATLAS / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    chosen = []
    for fractured in ("0", "1"):
        names = [row["image"] for row in rows if row["fractured"] == fractured]
        chosen += names[:: max(1, len(names) // (count // 2))][: count // 2]
    return [XRAYS / name for name in chosen]


def test_what_openvino_must_not_round_is_the_stem_and_no_answer_changes(bundle: Bundle):
    inputs = np.stack([to_input(draw_forearm(seed).pixels, 64) for seed in range(3)]).reshape(-1, 1, 64, 64)
    network = core().read_model(with_weights(bundle))
    marked = with_exact_stem(core().read_model(with_weights(bundle)))
    expected, found = (
        core().compile_model(one, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)
        for one in (network, marked)
    )
    assert np.allclose(found[FRACTURE], expected[FRACTURE], atol=1e-6)
    kinds = [
        node.get_type_name()
        for node in marked.get_ordered_ops()
        if "DisablePrecisionConversion_0" in node.get_rt_info()
    ]
    # Sums are left out of an untrained network, whose biases are zero.
    computing = ("Convolution", "Pad", "MaxPool", "Multiply", "Relu")
    assert [kind for kind in kinds if kind in computing] == ["Convolution", "Pad", "MaxPool", "Multiply"]


@pytest.mark.skipif(not multiplies_in_bfloat16(), reason="this processor has no bfloat16")
def test_openvino_computes_the_stem_in_float32_and_the_rest_in_bfloat16():
    compiled = core().compile_model(read_network(read_bundle(BUNDLED)), "CPU")
    runs_in = [
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert runs_in[0] == "f32"
    assert set(runs_in[1:]) == {"bf16"}


def test_a_compiled_network_is_kept_and_a_damaged_one_is_made_anew(bundle: Bundle, tmp_path: Path):
    inputs = np.stack([to_input(draw_forearm(seed).pixels, 64) for seed in range(3)])
    cache = tmp_path / "cache"
    expected = start("openvino", bundle, lambda _: None, cache).run(inputs)
    (kept,) = cache.iterdir()
    for damaged in (False, True):
        if damaged:
            kept.write_bytes(kept.read_bytes()[:1000])
        said: list[str] = []
        found = start("openvino", bundle, said.append, cache).run(inputs)
        assert np.allclose(found[0], expected[0], atol=1e-6)
        assert ("compiling for OpenVINO" in said) is damaged
    assert list(cache.iterdir()) == [kept]


DROPS_ENGINES = """
import os, signal, sys
from pathlib import Path
from model.bundle import read_bundle
from model.engines import start
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
bundle = read_bundle(Path(sys.argv[1]))
engines = [start("openvino", bundle, lambda _: None) for _ in range(2)]
while engines:
    del engines[0]
    os.kill(os.getpid(), signal.SIGTERM)
"""


def test_signals_are_heard_after_engines_end_in_the_order_of_their_start(bundle: Bundle):
    command = [sys.executable, "-c", DROPS_ENGINES, str(bundle.folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout) == (0, "heard\n" * 2), ended.stderr


def test_a_cache_that_cannot_be_written_keeps_no_worker_from_starting(bundle: Bundle, tmp_path: Path):
    (tmp_path / "file").touch()
    said: list[str] = []
    start("openvino", bundle, said.append, tmp_path / "file" / "cache")
    assert said[-1].startswith("what was compiled cannot be kept")


def test_openvino_holds_the_weights_once(bundle: Bundle, tmp_path: Path):
    inputs = np.stack([to_input(draw_forearm(seed).pixels, 64) for seed in range(3)])
    engine = start("openvino", bundle, lambda _: None, tmp_path)
    for batch in (1, 3, 1):
        engine.run(inputs[:batch])
    (kept,) = tmp_path.iterdir()
    assert _resident(kept) < 0.1 * kept.stat().st_size


def _resident(mapped: Path) -> int:
    """Bytes of a mapped file that lie in this process's memory."""
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    return sum(
        int(next(line for line in lines if line.startswith("Rss:")).split()[1]) * 1024
        for line in lines
        if line.endswith(str(mapped))
    )
