"""A step of training that cannot go on ends with one sentence, as its caller sees it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


ODD = "sead = 1\n"
SAID = {
    "collect nowhere --run new": "collect: nowhere",
    "prepare --run new": "prepare: new/manifest.csv is missing; run python -m training.collect",
    "select --run new --config odd.toml": "select: odd.toml has no seconds",
    "train --run new --config odd.toml": "train: odd.toml: ",
    "train --run new --config gone.toml": "train: [Errno 2] No such file or directory: 'gone.toml'",
    "pretrain --config odd.toml": "pretrain: odd.toml: ",
    "evaluate --run new --bundle new/b": "evaluate: new/trained.npz is missing; run python -m training.train",
    "fit_check --run new": "fit_check: new/trained.npz is missing; run python -m training.train",
}
EACH = """
import contextlib, io, json, runpy, sys
for command in sys.stdin.read().splitlines():
    step, *sys.argv[1:] = command.split()
    end, errors = None, io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            runpy.run_module(f"training.{step}", run_name="__main__", alter_sys=True)
        except SystemExit as exit:
            end = exit.code
    print(json.dumps([errors.getvalue(), end]))
"""
"""Runs steps in one process, as each would import the same packages; prints what each says, and its end."""


def run(folder: Path, *command: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    (folder / "odd.toml").write_text(ODD)
    environment = {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, input=given
    )


def test_each_step_ends_in_a_sentence(tmp_path: Path):
    ended = run(tmp_path, "-c", EACH, given="\n".join(SAID))
    assert ended.returncode == 0, ended.stderr
    for (command, said), line in zip(SAID.items(), ended.stdout.splitlines(), strict=True):
        errors, end = json.loads(line)
        assert not errors, command
        # A process that ends with a text prints it, and its status is 1.
        assert end.startswith(said), end
        assert "\n" not in end


@pytest.mark.parametrize("command", ["prepare --run new", "train --run new --config odd.toml"])
def test_its_process_says_nothing_else(command: str, tmp_path: Path):
    step, *arguments = command.split()
    ended = run(tmp_path, "-m", f"training.{step}", *arguments)
    assert ended.returncode == 1
    assert ended.stderr.startswith(SAID[command]), ended.stderr
    assert ended.stderr.count("\n") == 1
