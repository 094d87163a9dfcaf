"""What README.md shows is what happens."""

import io
import json
import os
import re
import subprocess
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stack.development import EXAMPLE
from stack.part import ROOT
from tests.integration.conftest import Stack

README = (ROOT / "README.md").read_text()
OVERLAY = ROOT / "docs/overlay.png"


MOST_LINES = 100
ABOUT_THE_SAME = 2
"""Gray levels by which two overlays differ on average where the engine that made them does."""


def block(language: str, containing: str) -> str:
    """The one block of the README in this language that contains the text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    (found,) = (text for text in blocks if containing in text)
    return str(found)


def test_the_request_gets_the_answer_and_the_picture_shown(stack: Stack):
    environment = {"OSTEO_URL": stack.ready["api"], "OSTEO_KEY": stack.ready["api_key"]}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("sh", "curl")],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    job = json.loads(ran.stdout)
    shown = json.loads(block("json", "finding"))
    remedy = "run `make demo`; put its JSON into README.md and docs/http.md, its overlay at docs/overlay.png"
    assert_same(job, shown, remedy)
    overlay = stack.request("GET", job["links"]["heatmap"]).data
    drawn, kept = (np.asarray(Image.open(io.BytesIO(data)), int) for data in (overlay, OVERLAY.read_bytes()))
    assert drawn.shape == kept.shape, remedy
    assert np.abs(drawn - kept).mean() < ABOUT_THE_SAME, remedy


def assert_same(given: Any, shown: Any, remedy: str) -> None:
    """Each member that is shown is given, but for what engines round in their own ways.

    A number may differ by 0.02, an edge of a box by half a cell of the network: 12 pixels of this X-ray.
    """
    if isinstance(shown, dict) and "box" in shown:
        assert given["box"] == pytest.approx(shown["box"], abs=12), remedy
        assert_same(given, {name: value for name, value in shown.items() if name != "box"}, remedy)
    elif isinstance(shown, dict):
        for name, value in shown.items():
            assert_same(given[name], value, remedy)
    elif isinstance(shown, list):
        assert len(given) == len(shown), remedy
        for one, another in zip(given, shown, strict=True):
            assert_same(one, another, remedy)
    elif isinstance(shown, float):
        assert given == pytest.approx(shown, abs=0.02), remedy
    else:
        assert given == shown, remedy


def test_the_python_client_prints_a_finding(stack: Stack, capsys: pytest.CaptureFixture[str]):
    with chdir(ROOT):
        exec(block("python", "Client"), {"url": stack.ready["api"], "key": stack.ready["api_key"]})
    assert capsys.readouterr().out == "fracture\n"


def test_the_program_of_the_clients_readme_runs(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (program,) = re.findall(r"```python\n(.*?)```", (ROOT / "client/README.md").read_text(), re.DOTALL)
    for name, place in {
        "https://osteo.example": stack.ready["api"],
        "wrist.png": str(EXAMPLE),
        "overlay.png": str(tmp_path / "overlay.png"),
    }.items():
        program = program.replace(name, place)
    exec(program, {"key": stack.ready["api_key"]})
    assert capsys.readouterr().out.startswith("fracture 0.9")
    assert (tmp_path / "overlay.png").read_bytes().startswith(b"\x89PNG")


def test_the_commands_shown_are_targets_of_make():
    targets = re.findall(r"^([a-z0-9-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = re.findall(r"^make ([a-z-]+)", block("sh", "make"), re.MULTILINE)
    assert commands == ["demo", "test"]
    assert set(commands) <= set(targets)


def test_every_block_of_the_readme_is_run():
    assert re.findall(r"^```(\w+)", README, re.MULTILINE) == ["sh", "json", "sh", "python"]


def test_the_readme_is_short():
    assert len(README.splitlines()) <= MOST_LINES


def test_the_walk_through_training_is_what_make_train_smoke_runs():
    """So each of its commands runs as written, but for the names of folders and configs."""
    guide = (ROOT / "docs/training.md").read_text()
    (block,) = re.findall(r"```sh\n([^`]*?training\.collect \.\.[^`]*?)```", guide, re.DOTALL)
    (measured,) = re.findall(r"```sh\n([^`]*?training\.external.*?)```", guide, re.DOTALL)
    walked = [line for line in (block + measured).splitlines() if "training." in line]
    recipe = re.search(r"^train-smoke:.*?\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe
    names = {
        "../my-xrays": "$(RUN)/wrists",
        "../their-xrays": "$(RUN)/elsewhere",
        "var/mine": "$(RUN)",
        "configs/select.toml": "configs/smoke_select.toml",
        "configs/reference.toml": "configs/smoke.toml",
        ".venv/bin/python": "$(BIN)/python",
    }
    for line in walked:
        # Few drawings fix its thresholds.
        line += " --small" if "training.evaluate" in line else ""
        for name, smoke in names.items():
            line = line.replace(name, smoke)
        assert f"\t@{line}\n" in recipe[1], line
    steps = [re.search(r"training\.(\w+)", line)[1] for line in walked]
    assert steps == ["collect", "prepare", "select", "train", "evaluate", "external", "external"]
