"""The network in int8: near the same in float, by either runtime, and chosen only where it pays and holds."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from model.bundle import GRAPH, Bundle, Thresholds
from model.engines import OPENVINO, OPENVINO_INT8, choose, processor, start
from model.engines.int8_graph import in_int8, inputs_of_convolutions
from model.engines.int8_ranges import GOALS, PARITY, RANGES, answered_by, read_ranges, write_ranges
from model.engines.onnx_runtime import MISLEADING
from model.errors import BundleRefused, NoEngine
from model.letterbox import scale_pixels, to_square
from model.network import FEATURES, FRACTURE, WHERE
from model.onnx_graph import INPUT
from model.synthetic import draw_forearm
from tests.model.conftest import DESCRIPTION, untrained, write
from training.quantisation.ranges import draw_ranges
from training.run.changed_bundle import write_changed

VNNI = "processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n"
AMX = "flags\t\t: fpu avx2 amx_int8\n"
SSE = "flags\t\t: fpu sse4_1 sse4_2\n"
AVX2 = "flags\t\t: fpu avx2\n"
ARM = "Features\t: fp asimd i8mm bf16\n"
LINUXONE = "features\t: esan3 zarch vx vxd nnpa\n"
PRIMITIVES = """
import sys
from pathlib import Path

from model.bundle import read_bundle
from model.engines.openvino import read_int8_network, read_network
from model.engines.openvino_core import core

bundle = read_bundle(Path(sys.argv[1]))
for network in (read_network(bundle), read_int8_network(bundle)):
    compiled = core().compile_model(network, "CPU")
    for operation in compiled.get_runtime_model().get_ops():
        about = operation.get_rt_info()
        print(about["layerType"].value, about["primitiveType"].value)
"""
"""Prints which implementation of each operation OpenVINO has chosen, which names the instructions it uses."""
MEETING = {name: {"value": 0.0, "low": 0.0, "high": most, "n": 515} for name, (_, most) in GOALS.items()}


@pytest.fixture(scope="module")
def squares() -> list[np.ndarray]:
    return [to_square(draw_forearm(seed).pixels, DESCRIPTION.input_size) for seed in range(8)]


@pytest.fixture(scope="module")
def normalised(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An untrained network whose batch normalisation moves, scales and inverts, as a trained one's does."""
    import keras

    network, random = untrained(), np.random.default_rng(3)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, *_ = shape = [weight.shape for weight in layer.get_weights()]
            assert len(shape) == 4
            signs = np.where(random.random(gamma) < 0.3, -1, 1)
            layer.set_weights(
                [
                    signs * random.uniform(0.8, 1.2, gamma),
                    random.normal(0, 0.1, gamma),
                    random.normal(0, 0.1, gamma),
                    random.uniform(0.7, 1.3, gamma),
                ]
            )
    return write(tmp_path_factory.mktemp("int8") / "normalised", DESCRIPTION, network)


@pytest.fixture(scope="module")
def quantised(
    normalised: Bundle, squares: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    """The same with ranges, and with figures that meet every goal, where sums of products are exact."""
    ranges = write_ranges(draw_ranges(normalised, squares), {})
    measured_on = {"sums_in_16_bits": False}
    figures = {"answered_by": answered_by(DESCRIPTION), "measured_on": measured_on, **MEETING}
    described = replace(DESCRIPTION, metrics={PARITY: figures})
    folder = tmp_path_factory.mktemp("int8") / "quantised"
    return write_changed(folder, normalised, described, {RANGES: ranges})


def test_int8_answers_an_x_ray_alone_as_it_does_among_others(quantised: Bundle, squares: list[np.ndarray]):
    engine = start(OPENVINO_INT8, quantised, lambda _: None)
    inputs = scale_pixels(np.stack(squares))
    together = engine.run(inputs)
    for number in range(len(inputs)):
        alone = engine.run(inputs[number : number + 1])
        for one, all_of_them in zip(alone, together, strict=True):
            assert np.allclose(one[0], all_of_them[number], atol=1e-5)
    turned = engine.run(np.asfortranarray(inputs))
    assert np.allclose(turned.features, together.features, atol=1e-5), "however the array lies in memory"


def test_int8_is_near_float_for_any_size_of_batch(quantised: Bundle, squares: list[np.ndarray]):
    real, int8 = (start(name, quantised, lambda _: None) for name in (OPENVINO, OPENVINO_INT8))
    assert int8.name == OPENVINO_INT8
    inputs = scale_pixels(np.stack(squares))
    for batch in (1, 3, 8):
        expected, found = real.run(inputs[:batch]), int8.run(inputs[:batch])
        assert [array.dtype for array in found] == [np.float32] * 3
        assert np.abs(found.scores - expected.scores).max() < 0.02
        assert np.abs(found.cells - expected.cells).max() < 0.02
        spread = expected.features.std()
        assert 0 < np.abs(found.features - expected.features).mean() < 0.05 * spread


def test_onnx_runtime_gives_what_openvino_gives_of_the_int8_graph(
    quantised: Bundle, squares: list[np.ndarray]
):
    inputs = scale_pixels(np.stack(squares[:3]))
    expected = start(OPENVINO_INT8, quantised, lambda _: None).run(inputs)
    graph = in_int8(quantised, read_ranges(quantised))
    onnx.checker.check_model(onnx.load_from_string(graph))
    session = onnxruntime.InferenceSession(graph, disabled_optimizers=MISLEADING)
    scores, cells, features = session.run([FRACTURE, WHERE, FEATURES], {INPUT: inputs.transpose(0, 3, 1, 2)})
    assert np.abs(scores[:, 0] - expected.scores).max() < 0.01
    assert np.abs(cells[:, 0] - expected.cells).max() < 0.01
    assert np.abs(features - expected.features).mean() < 0.02 * expected.features.std()


def test_all_convolutions_but_stem_and_map_run_in_int8(quantised: Bundle):
    from model.engines.openvino import read_int8_network
    from model.engines.openvino_core import core

    compiled = core().compile_model(read_int8_network(quantised), "CPU")
    runs_in = [
        node.get_rt_info()["runtimePrecision"].astype(str)
        for node in compiled.get_runtime_model().get_ordered_ops()
        if node.get_rt_info()["layerType"].astype(str) == "Convolution"
    ]
    assert len(runs_in) == len(read_ranges(quantised)) + 2
    assert runs_in.count("u8") == len(runs_in) - 2


def test_ranges_name_convolutions_and_not_tensors_that_are_counted(quantised: Bundle):
    graph = onnx.load(quantised.folder / GRAPH, load_external_data=False).graph
    named = read_ranges(quantised)
    assert set(named) == set(inputs_of_convolutions(graph))
    assert {"conv2_block1_1_conv", "local_conv2", "deep_shortcut"} <= set(named)
    assert not {"conv1_conv", WHERE} & set(named)


def test_a_convolution_without_a_range_stays_in_float(quantised: Bundle, squares: list[np.ndarray]):
    ranges = read_ranges(quantised)
    one = "conv3_block1_2_conv"
    graph = onnx.load_from_string(in_int8(quantised, {one: ranges[one]})).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QuantizeLinear") == 1
    assert kinds.count("Conv") == len(ranges) + 2


def test_the_cache_tells_int8_from_float(quantised: Bundle, tmp_path: Path, squares: list[np.ndarray]):
    inputs = scale_pixels(np.stack(squares[:2]))
    answers = []
    for name in (OPENVINO, OPENVINO_INT8, OPENVINO_INT8):
        said: list[str] = []
        answers.append(start(name, quantised, said.append, tmp_path).run(inputs).features)
    assert "compiling for OpenVINO" not in said
    assert len(list(tmp_path.iterdir())) == 1 + 2, "int8 is compiled for one X-ray and for several"
    assert np.array_equal(answers[1], answers[2])
    assert not np.array_equal(answers[0], answers[1])


def of(**changed: object) -> str:
    return json.dumps({"format": 1, "drawn": {}, "ranges": {"conv2_block1_1_conv": 3.0}} | changed)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "null",
        "[" * 100_000,
        of(format=2),
        of(ranges={}),
        of(ranges=[1.0]),
        of(ranges={"conv2_block1_1_conv": -1.0}),
        of(ranges={"conv2_block1_1_conv": float("nan")}),
        of(ranges={"conv2_block1_1_conv": 10**400}),
        of(ranges={"conv2_block1_1_conv": None}),
        of(ranges={"conv9_block9_9_conv": 1.0}),
        of(ranges={"where": 1.0}),
        of(drawn=" " * (1 << 20)),
    ],
)
def test_ranges_that_cannot_be_used_refuse_the_bundle(bundle: Bundle, tmp_path: Path, content: str):
    hostile = write_changed(tmp_path / "bundle", bundle, bundle.description, {RANGES: content})
    with pytest.raises(BundleRefused, match=r"fetch the bundle again|training\.quantise"):
        start(OPENVINO_INT8, hostile, lambda _: None)


def test_int8_by_name_on_a_bundle_without_ranges_says_what_to_do(bundle: Bundle):
    with pytest.raises(NoEngine, match=r"int8_ranges\.json.*training\.quantise"):
        choose(OPENVINO_INT8, bundle)
    with pytest.raises(BundleRefused, match=r"training\.quantise"):
        start(OPENVINO_INT8, bundle, lambda _: None)


@pytest.mark.parametrize(
    ("cpuinfo", "chosen"),
    [
        (VNNI, OPENVINO_INT8),
        (AMX, OPENVINO_INT8),
        (AVX2, OPENVINO),
        (ARM, OPENVINO),
        (LINUXONE, OPENVINO),
        (None, OPENVINO),
    ],
)
def test_int8_is_chosen_where_the_processor_adds_exactly(
    quantised: Bundle,
    bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cpuinfo: str | None,
    chosen: str,
):
    if cpuinfo is not None:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert choose(None, quantised) == chosen
    assert choose(None, bundle) == OPENVINO, "it has no ranges"
    assert choose(OPENVINO_INT8, quantised) == OPENVINO_INT8, "it was named"
    assert choose(OPENVINO, quantised) == OPENVINO, "it was named"


@pytest.mark.parametrize(
    ("measured_on", "chosen"),
    [
        ({"sums_in_16_bits": True}, OPENVINO_INT8),
        ({"sums_in_16_bits": False}, OPENVINO),
        ({}, OPENVINO),
    ],
)
@pytest.mark.parametrize(("cpuinfo", "adds_in_16_bits"), [(AVX2, True), (VNNI, False), (SSE, False)])
def test_avx2_takes_int8_where_the_figures_are_of_sums_in_16_bits(
    quantised: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    measured_on: dict[str, bool],
    chosen: str,
    cpuinfo: str,
    adds_in_16_bits: bool,
):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    assert processor.adds_int8_in_16_bits() == adds_in_16_bits
    figures = quantised.description.metrics[PARITY] | {"measured_on": measured_on}
    measured = replace(quantised, description=replace(quantised.description, metrics={PARITY: figures}))
    otherwise = OPENVINO_INT8 if cpuinfo == VNNI else OPENVINO
    assert choose(None, measured) == (chosen if adds_in_16_bits else otherwise)


@pytest.mark.parametrize("goal", GOALS)
def test_int8_is_not_chosen_where_the_figures_miss_a_goal(
    quantised: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, goal: str
):
    (tmp_path / "cpuinfo").write_text(VNNI)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    figures = quantised.description.metrics[PARITY]
    end, most = GOALS[goal]
    for missing in (
        figures | {goal: figures[goal] | {end: most + 0.0001}},
        figures | {goal: figures[goal] | {end: None}},
        {name: value for name, value in figures.items() if name != goal},
        {},
    ):
        described = replace(quantised.description, metrics={PARITY: missing})
        assert choose(None, replace(quantised, description=described)) == OPENVINO


def test_int8_is_not_chosen_by_figures_of_other_thresholds(
    quantised: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cpuinfo").write_text(VNNI)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    elsewhere = replace(quantised.description, thresholds=Thresholds(low=0.3, high=0.7, region=0.02))
    assert choose(None, replace(quantised, description=elsewhere)) == OPENVINO


@pytest.mark.parametrize("cpuinfo", [AVX2, VNNI, AMX])
def test_a_processor_taken_for_avx2_adds_int8_in_16_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cpuinfo: str
):
    (tmp_path / "cpuinfo").write_text(cpuinfo)
    monkeypatch.setattr(processor, "CPUINFO", tmp_path / "cpuinfo")
    for name, value in processor.AS_AVX2.items():
        monkeypatch.setenv(name, value)
    assert processor.adds_int8_in_16_bits()
    assert not processor.adds_int8_in_32_bits()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX is x86's")
def test_openvino_convolves_as_on_avx2_where_a_processor_is_taken_for_it(quantised: Bundle):
    command = [sys.executable, "-c", PRIMITIVES, str(quantised.folder)]
    environment = os.environ | processor.AS_AVX2
    said = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    convolutions = [line for line in said.splitlines() if line.startswith("Convolution")]
    assert {line[-3:] for line in convolutions if "avx2" in line} == {"f32", "_I8"}
    assert not any("avx512" in line for line in convolutions)
