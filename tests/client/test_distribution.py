"""The client as its users get it: a wheel, in an environment that holds nothing else."""

import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.api.conftest import Api
from tests.client.conftest import PNG

CLIENT = Path(__file__).parents[2] / "client"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distribution")
    # A build leaves folders behind in its sources.
    left_out = shutil.ignore_patterns("*.egg-info", "build")
    sources = shutil.copytree(CLIENT, folder / "sources", ignore=left_out)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", folder, sources),
        ],
        check=True,
    )
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment with the wheel and what it depends on."""
    folder = tmp_path_factory.mktemp("fresh")
    venv.create(folder, with_pip=False)
    subprocess.run([*pip_of(folder), "install", "--quiet", wheel], check=True)
    return folder / "bin"


def pip_of(folder: Path) -> list[str | Path]:
    return [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", folder / "bin/python"]


def test_the_wheel_says_that_it_is_typed_and_holds_this_package_alone(wheel: Path):
    names = zipfile.ZipFile(wheel).namelist()
    assert "osteo_client/py.typed" in names
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"osteo_client"}


def test_it_needs_an_http_library_and_signatures_and_nothing_else(installed: Path):
    listed = subprocess.run(
        [*pip_of(installed.parent), "list", "--format", "json", "--not-required"],
        capture_output=True,
        check=True,
    )
    assert [package["name"] for package in json.loads(listed.stdout)] == ["osteo-client"]
    code = "import importlib.metadata as m; print(*m.requires('osteo-client'), sep='\\n')"
    needs = subprocess.run([installed / "python", "-c", code], capture_output=True, text=True, check=True)
    always = [line for line in needs.stdout.splitlines() if "extra ==" not in line]
    assert [line.partition(">")[0] for line in always] == ["httpx2", "standardwebhooks"]


def test_it_submits_as_a_library_and_as_a_command(installed: Path, api: Api, tmp_path: Path):
    (tmp_path / "x.png").write_bytes(PNG)
    code = f"from osteo_client import Client; print(Client({api.url!r}, {api.key!r}).submit('x.png').id)"
    library = subprocess.run(
        [installed / "python", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert api.request("GET", f"/v1/jobs/{library.stdout.strip()}").status == 200
    command = subprocess.run(
        [installed / "osteo", "submit", "x.png", "--json"],
        cwd=tmp_path,
        env={"OSTEO_URL": api.url, "OSTEO_KEY": api.key},
        capture_output=True,
        check=True,
    )
    assert api.request("GET", f"/v1/jobs/{json.loads(command.stdout)['id']}").status == 200


def test_the_wheel_holds_the_licence_of_the_repository(wheel: Path):
    archive = zipfile.ZipFile(wheel)
    (name,) = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert archive.read(name) == (CLIENT.parent / "LICENSE").read_bytes()
