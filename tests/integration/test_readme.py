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
