"""docs/ar.md, as an integrator follows it: from nothing to a scene of true size and a marker."""

import io
import json
import zipfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from stack.part import ROOT
from tests.integration.conftest import Stack
from tests.integration.pages import BLOCK, Newcomer

PAGE = (ROOT / "docs/ar.md").read_text()


@pytest.fixture
def newcomer(stack: Stack, tmp_path: Path) -> Newcomer:
    names = {
        "http://127.0.0.1:8000": stack.ready["api"],
        "/tmp/": f"{tmp_path}/",
        "var/": f"{stack.folder}/",
    }

    def moved(text: str) -> str:
        for name, place in names.items():
            text = text.replace(name, place)
        return text

    newcomer = Newcomer(PAGE, tmp_path, moved, ExitStack())
    newcomer.save_files()
    return newcomer


def test_an_integrator_gets_a_scene_and_a_marker_by_the_page_alone(newcomer: Newcomer):
    newcomer.run("export OSTEO_URL")
    refused = json.loads(newcomer.run("curl -sS -H"))
    assert (refused["status"], refused["type"]) == (409, "/problems/scale-unknown")
    newcomer.run("get()")
    assert (newcomer.folder / "scene.glb").read_bytes().startswith(b"glTF")
    for name, first in (("scene.usdz", "scene.usda"), ("scene.zip", "scene.obj")):
        with zipfile.ZipFile(io.BytesIO((newcomer.folder / name).read_bytes())) as archive:
            assert archive.namelist()[0] == first
    assert newcomer.run("python3").splitlines() == [
        "assumed [0.15, 0.15] uncalibrated",
        "The size was assumed by the request, and measured by nothing.",
    ]
    newcomer.run("curl -sS -f -o")
    assert (newcomer.folder / "marker.pdf").read_bytes().startswith(b"%PDF-")


def test_every_block_of_the_page_is_run():
    blocks = list(BLOCK.finditer(PAGE))
    assert PAGE.count("\n```") == 2 * len(blocks), "a block in a language that no test runs"
    tests = Path(__file__).read_text()
    for block in blocks:
        if block["language"] == "sh":
            assert any(f'"{block["text"][:size]}"' in tests for size in range(3, 60)), block["text"]
        else:
            assert f"python3 {block['file']}" in PAGE, block["text"]
