"""What the README tells a newcomer to paste works as it stands there."""

import json
import re
import subprocess
from pathlib import Path

from PIL import Image

from stack.part import ROOT
from tests.integration.conftest import Stack

README = (ROOT / "README.md").read_text()


def test_the_lines_to_try_by_hand_work_as_pasted(stack: Stack, tmp_path: Path):
    (block,) = re.findall(r"## Try it by hand.*?```sh\n(.*?)```", README, re.DOTALL)
    moved = block.replace("http://127.0.0.1:8000", stack.ready["api"]).replace("/tmp/", f"{tmp_path}/")
    moved = moved.replace("var/ready.json", str(stack.folder / "ready.json"))
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", moved], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["reference"] == "test-1"
    assert Image.open(tmp_path / "overlay.png").format == "PNG"


def test_every_file_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


def test_the_walk_through_training_is_what_make_train_smoke_runs():
    """So each of its commands runs as written, but for the names of folders and configs."""
    guide = (ROOT / "docs/training.md").read_text()
    (block,) = re.findall(r"```sh\n(.*?training\.collect.*?)```", guide, re.DOTALL)
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
