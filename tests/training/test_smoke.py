"""`make train-smoke`: its steps on drawn wrists, and the bundle they end in, served by the worker.

The suite takes half of the wrists, leaves out the steps elsewhere, and runs those that need Keras in one
process: each would import it anew.
"""

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from model.bundle import CARD, MANIFEST, MEASURED, read_bundle, read_metrics
from model.classifier import Classifier
from model.decode.image import decode
from model.engines import OPENVINO_INT8, choose
from model.engines.int8_ranges import PARITY
from model.engines.processor import CPUINFO
from stack.part import ROOT
from tests.integration.conftest import running
from training.evaluation.report import REPORT
from training.evaluation.selection_plot import PICTURE
from training.external import MEASURED as EXTERNAL
from training.network.trained import TRAINED
from training.run.curves import CURVES, HISTORY, VALIDATION, read_lines
from training.select import SELECTION
from training.synthetic_set import draw_wrist
from training.train import CHECKPOINT

WHOLE, HALF = 280, 140
"""How many wrists are drawn. The ranges of int8 are taken from a seventh of them."""
COMPARED = "-m training.select "
"""The step that takes a third of the time. No other step reads what it writes."""
ELSEWHERE = "/elsewhere "
"""The steps at another place, of which tests/training/evaluation/test_external.py is the cut."""
WITHOUT_KERAS = ("rm ", "-m training.synthetic_set ", "-m training.collect ", "-m training.prepare ")
EVALUATE, SMALL = "-m training.evaluate ", " --small"
REFUSED = "refused.txt"
"""What `evaluate` has said without that option."""
IN_ONE_PROCESS = """
import runpy, shlex, sys
for command in sys.stdin.read().splitlines():
    python, _, module, *options = shlex.split(command)
    sys.argv = [python, *options]
    refused = module == "training.evaluate" and "--small" not in options
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if not refused:
            raise
        print(end.code, file=sys.stderr)
    else:
        assert not refused, command
"""
"""Runs commands one after the other. One without --small has to be refused."""
whole = pytest.mark.parametrize("run", [WHOLE], ids=["whole"], indirect=True)


def recipe(run: Path) -> list[str]:
    """The commands that `make train-smoke` runs in this folder."""
    told = subprocess.check_output(["make", "-n", "train-smoke", f"RUN={run}"], cwd=ROOT, text=True)
    return [line for line in told.splitlines() if str(run) in line]


def half(commands: list[str]) -> list[str]:
    """These commands with half of the X-rays."""
    text = "\n".join(commands)
    for option, count in {"wrists --count": WHOLE, "--xrays": WHOLE // 7}.items():
        assert text.count(f"{option} {count}") == 1
        text = text.replace(f"{option} {count}", f"{option} {count // 2}")
    return text.splitlines()


def without_small(commands: list[str]) -> list[str]:
    """These commands, and before `evaluate` the same without --small, with another bundle."""
    (evaluate,) = (command for command in commands if EVALUATE in command)
    assert SMALL in evaluate
    bare = evaluate.replace(SMALL, "").replace("/bundle", "/no")
    at = commands.index(evaluate)
    return [*commands[:at], bare, *commands[at:]]


def does(*command: str, given: str = "") -> str:
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, input=given)
    assert made.returncode == 0, made.stderr[-4000:]
    return made.stderr


@pytest.fixture(
    scope="module", params=[HALF, pytest.param(WHOLE, marks=pytest.mark.long)], ids=["half", "whole"]
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("smoke") / "run"
    commands = [command for command in recipe(run) if COMPARED not in command]
    if request.param == WHOLE:
        does("bash", "-euc", "\n".join(commands))
        (evaluate,) = (command for command in commands if EVALUATE in command)
        said = does(sys.executable, "-c", IN_ONE_PROCESS, given=without_small([evaluate])[0])
        (run / REFUSED).write_text(said)
        return run
    commands = half([command for command in commands if ELSEWHERE not in command])
    first = [command for command in commands if any(step in command for step in WITHOUT_KERAS)]
    *with_keras, quantise = (command for command in commands if command not in first)
    does("bash", "-euc", "\n".join(first))
    said = does(sys.executable, "-c", IN_ONE_PROCESS, given="\n".join(without_small(with_keras)))
    (run / REFUSED).write_text(said)
    shutil.copytree(run / "bundle", run / "recalibrated")
    does("bash", "-euc", quantise)
    return run


@pytest.fixture
def wrists(request: pytest.FixtureRequest) -> int:
    """How many wrists were drawn."""
    return request.node.callspec.params["run"]


def test_it_learns_the_drawn_wrists(run: Path, wrists: int):
    first, *_, last = read_lines(run / HISTORY)
    assert last["loss"] < 0.3 * first["loss"], "what it begins with knows drawn wrists a little"
    metrics = json.loads((run / MEASURED).read_text())
    assert metrics["test"]["auc"]["value"] > 0.95
    assert metrics["test"]["auc"]["n"] >= wrists // 7
    assert metrics["localisation"]["head"]["peak_hits"]["value"] > 0.5


@pytest.mark.long
@whole
def test_it_learns_them_from_random_weights_too(run: Path, tmp_path: Path):
    again = tmp_path / "run"
    shutil.copytree(run, again, ignore=shutil.ignore_patterns(CHECKPOINT, TRAINED, HISTORY, VALIDATION))
    config = (ROOT / "training/configs/smoke.toml").read_text()
    for taught, untaught in {
        'begin = "model/bundle"': 'begin = ""',
        "steps = 20\nwarmup_steps = 4": "steps = 150\nwarmup_steps = 15",
        "trunk_rate = 0.0": "trunk_rate = 1.0",
    }.items():
        assert taught in config
        config = config.replace(taught, untaught)
    (again / "config.toml").write_text(config)
    command = [sys.executable, "-m", "training.train", "--run", str(again)]
    subprocess.run([*command, "--config", str(again / "config.toml")], cwd=ROOT, check=True)
    first, *_, last = read_lines(again / VALIDATION)
    assert first["auc"] < 0.8
    assert last["auc"] > 0.95


def test_every_figure_has_an_interval_in_card_report_and_bundle(run: Path):
    metrics = json.loads((run / MEASURED).read_text())
    assert {"value", "low", "high", "n"} == set(metrics["test"]["auc"])
    assert metrics["openings_of_the_test_part"] == 1
    assert len(metrics["predictive_values"]) == 8
    assert {one["perturbation"] for one in metrics["robustness"]} >= {"inverted", "border masked"}
    assert {"head", "grad_cam"} == set(metrics["localisation"])
    assert metrics["size_only"]["value"] == 0.5, "all drawn wrists have one size"
    assert metrics["size_only"]["high"] > metrics["size_only"]["low"]
    assert abs(metrics["int8_against_float32"]["change_of_auc"]["value"]) < 0.01
    bundle = run / "bundle"
    assert json.loads((bundle / MANIFEST).read_text())["metrics"]["test"] == metrics["test"]
    card = (bundle / CARD).read_text()
    assert f"{metrics['test']['auc']['value']:.3f}" in card
    assert "{{" not in card
    assert "{%" not in card
    report, public = ((folder / REPORT).read_text() for folder in (run, bundle))
    for page in (report, public):
        assert "http" not in page, "it must open without a network"
        assert "src=" not in page.replace('src="data:image/png;base64,', "")
    assert report.count("data:image") == public.count("data:image") + 2, "X-rays left the run's folder"
    assert (run / CURVES).exists()


def test_few_xrays_set_thresholds_only_by_option_and_are_marked(run: Path):
    assert " call it with --small: " in (run / REFUSED).read_text()
    assert not (run / "no").exists()
    described = json.loads((run / "bundle" / MANIFEST).read_text())
    assert described["version"].endswith("+small")
    assert not described["metrics"]["fixed_on"]["enough"]
    assert "Not for service" in (run / "bundle" / CARD).read_text()
    assert "Not for service" in (run / "bundle" / REPORT).read_text()


@pytest.mark.long
@whole
def test_the_bundle_is_measured_and_recalibrated_elsewhere(run: Path):
    measured = json.loads((run / "external" / EXTERNAL).read_text())
    assert measured["site"]["images"] == 120
    assert measured["test"]["auc"]["value"] > 0.9
    described = read_bundle(run / "recalibrated").description
    assert described.version.endswith("+small.elsewhere.int8")
    assert described.metrics["recalibrated"]["after"]["sensitivity_at_low"]["n"] == 60
    assert described.thresholds != read_bundle(run / "bundle").description.thresholds


def test_the_recalibrated_bundle_has_ranges_and_figures_of_int8(run: Path, wrists: int):
    bundle = read_bundle(run / "recalibrated")
    figures = read_metrics(bundle)[PARITY]
    assert bundle.description.metrics[PARITY] == figures
    assert figures["measured_on"]["sums_in_16_bits"] or "avx2" not in CPUINFO.read_text()
    assert figures["ranges"]["xrays"] == wrists // 7
    assert figures["auc_loss"]["n"] == figures["measured_on"]["xrays"] >= wrists // 7
    assert figures["auc"]["int8"]["value"] > 0.95
    assert 0 < figures["largest_change_of_probability"] < 0.2
    card = (bundle.folder / CARD).read_text()
    assert card.startswith(f"# {bundle.description.name} {bundle.description.version}\n")
    assert card.count("## Arithmetic in int8\n") == 1
    assert choose(OPENVINO_INT8, bundle) == OPENVINO_INT8


@pytest.mark.long
@whole
def test_the_architectures_are_compared(run: Path):
    does("bash", "-euc", "\n".join(command for command in recipe(run) if COMPARED in command))
    compared = json.loads((run / SELECTION).read_text())["candidates"]
    assert len(compared) == 2
    assert all({"value", "low", "high", "n"} == set(one["auc"]) and one["steps"] > 1 for one in compared)
    assert (run / PICTURE).read_bytes()[:4] == b"\x89PNG"


def test_the_bundle_tells_broken_wrists_from_others(run: Path):
    """The cut of the worker that serves it: what it loads, and what it answers."""
    classifier = Classifier.load(run / "bundle")
    said = {}
    for seed in (900, 901):
        stored = io.BytesIO()
        Image.fromarray(draw_wrist(seed, fractured=seed % 2 == 0)[0]).save(stored, "PNG")
        (prediction,) = classifier.predict([decode(stored.getvalue())])
        said[seed] = prediction.probability
    assert classifier.sha256 == read_bundle(run / "bundle").sha256
    assert said[900] > 0.5 > said[901]


@pytest.mark.long
@whole
def test_the_worker_serves_the_bundle(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(os.environ, "OSTEO_BUNDLE", str(run / "bundle"))
    with running(tmp_path) as stack:
        said = {}
        for seed in (900, 901):
            stored = io.BytesIO()
            Image.fromarray(draw_wrist(seed, fractured=seed % 2 == 0)[0]).save(stored, "PNG")
            result = stack.settled(stack.submit(stored.getvalue())["id"])["result"]
            said[seed] = result["probability"]
            assert result["model"]["sha256"] == read_bundle(run / "bundle").sha256
    assert said[900] > 0.5 > said[901]
