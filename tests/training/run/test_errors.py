"""A step of training that cannot go on ends with one sentence, as its caller sees it."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("collect nowhere --run new", "collect: nowhere"),
        ("prepare --run new", "prepare: new/manifest.csv is missing; run python -m training.collect"),
        ("select --run new --config odd.toml", "select: odd.toml has no seconds"),
        ("train --run new --config odd.toml", "train: odd.toml: "),
        ("train --run new --config gone.toml", "train: [Errno 2] No such file or directory: 'gone.toml'"),
        ("pretrain --config odd.toml", "pretrain: odd.toml: "),
        (
            "evaluate --run new --bundle bundle",
            "evaluate: new/trained.npz is missing; run python -m training.train",
        ),
        ("fit_check --run new", "fit_check: new/trained.npz is missing; run python -m training.train"),
    ],
)
def test_a_step_ends_in_a_sentence(command: str, said: str, tmp_path: Path):
    (tmp_path / "odd.toml").write_text("sead = 1\n")
    step, *arguments = command.split()
    ended = subprocess.run(
        [sys.executable, "-m", f"training.{step}", *arguments],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(said), ended.stderr
    assert ended.stderr.count("\n") == 1
