"""docs/ar.md, as an integrator follows it: from nothing to a scene of true size and a registered marker."""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.part import ROOT
from tests.integration.conftest import Stack
from tests.integration.pages import Newcomer, following, unrun_blocks

PAGE = (ROOT / "docs/ar.md").read_text()
PYTHON = ".venv/bin/python /tmp"


@pytest.fixture
def newcomer(stack: Stack, tmp_path: Path) -> Iterator[Newcomer]:
    places = {"http://127.0.0.1:8000": stack.ready["api"], "var/": f"{stack.folder}/"}
    with following(PAGE, tmp_path, places) as newcomer:
        yield newcomer


def test_an_integrator_gets_a_scene_and_a_marker_by_the_page_alone(newcomer: Newcomer):
    newcomer.run("export OSTEO_URL")
    refused = json.loads(newcomer.run("curl -sS -H"))
    assert (refused["status"], refused["type"]) == (409, "/problems/scale-unknown")
    newcomer.run("get()")
    assert (newcomer.folder / "scene.glb").read_bytes().startswith(b"glTF")
    for name, first in (("scene.usdz", "scene.usda"), ("scene.zip", "scene.obj")):
        with zipfile.ZipFile(io.BytesIO((newcomer.folder / name).read_bytes())) as archive:
            assert archive.namelist()[0] == first
    newcomer.run("curl -sS -f -H")
    assert (newcomer.run("python3 /tmp/said") + newcomer.run("python3 /tmp/placed")).splitlines() == [
        "assumed [0.15, 0.15] uncalibrated",
        "The size was assumed by the request, and measured by nothing.",
        "photograph: 0.45 m before the camera, one pose",
        "  sigma 1.4 mm, corners 0.2 px off",
        "corners: 0.45 m before the camera, one pose",
        "  sigma 1.6 mm, corners 0.2 px off",
    ]
    newcomer.run("curl -sS -f -o")
    assert (newcomer.folder / "marker.pdf").read_bytes().startswith(b"%PDF-")
    newcomer.run("curl -sS -f -X POST")
    page = (newcomer.folder / "page.html").read_text()
    assert "The size was assumed by the request, and measured by nothing." in page
    assert "Not for diagnosis. Not for guiding a hand or a machine." in page


def test_an_integrator_gets_a_target_in_the_frame_of_the_patient(newcomer: Newcomer):
    newcomer.run("export OSTEO_URL")
    newcomer.run(f"{PYTHON}/modality.py")
    sheet, *rays, state = newcomer.run("python3 /tmp/patient.py").splitlines()
    assert sheet == "the sheet faces the tube, 0.97 m from it, sigma 12 mm"
    assert rays
    assert all(ray.startswith("a ray in patient along [") for ray in rays)
    assert state == "stale False"


def test_every_block_of_the_page_is_run():
    assert not unrun_blocks(PAGE, Path(__file__), PYTHON)
