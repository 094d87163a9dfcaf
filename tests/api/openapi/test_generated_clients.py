"""Clients that others' generators make of our OpenAPI document submit, wait and read; linters find no error.

`make test-clients` installs the generators, and runs this.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from jobs.record.job import now
from tests import pictures
from tests.api.conftest import RESULT, ROOT, Api

PEERS = ROOT / "tests/peers"
TOOLS = ROOT / "var/peers"
PYTHON = TOOLS / "python/bin"
PNG = pictures.encoded(pictures.gray())
pytestmark = pytest.mark.skipif(
    not (TOOLS / "installed").exists(),
    reason="NO CLIENT WAS GENERATED: the generators are missing. `make test-clients` installs them",
)


@pytest.fixture(scope="module")
def folder(served: Api, tmp_path_factory) -> Path:
    """A folder with the document, in which the tools are found."""
    folder = tmp_path_factory.mktemp("peers")
    served.redis.flushall()
    (folder / "openapi.json").write_bytes(served.request("GET", "/openapi.json").data)
    (folder / "node_modules").symlink_to(TOOLS / "node_modules")
    for file in PEERS.iterdir():
        shutil.copy(file, folder)
    return folder


def ran(folder: Path, *command: str | Path) -> str:
    program = folder / "node_modules/.bin" / command[0]
    done = subprocess.run(
        [program if program.exists() else command[0], *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def used(api: Api, folder: Path, *command: str | Path) -> None:
    """Run a client, which submits, waits for what we make of its job and tells it."""
    (folder / "x.png").write_bytes(PNG)
    key = api.key
    with subprocess.Popen(
        [*command, api.url, key, "x.png"], cwd=folder, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdout
        job = api.ledger.read(client.stdout.readline().strip())
        job = api.ledger.append(job.started("w", now()))
        api.ledger.append(job.succeeded(RESULT, now()))
        assert client.stdout.read().splitlines() == ["succeeded R 1", "fracture"]
    assert client.returncode == 0


def test_redocly_finds_no_error(folder: Path):
    assert "is valid" in ran(folder, "redocly", "lint", "openapi.json")


def test_spectral_finds_no_error(folder: Path):
    assert "(0 errors" in ran(folder, "spectral", "lint", "openapi.json", "--ruleset", "spectral.yaml")


def test_the_asyncapi_parser_finds_nothing(served: Api, folder: Path):
    (folder / "asyncapi.json").write_bytes(served.request("GET", "/asyncapi.json").data)
    assert ran(folder, "node", "asyncapi.mjs").splitlines()[-1] == "valid"


def test_a_client_of_openapi_python_client_submits_waits_and_reads(api: Api, folder: Path):
    said = ran(
        folder,
        *(PYTHON / "openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none"),
        *("--output-path", "generated", "--config", "openapi_python_client.yaml"),
    )
    assert "will not be generated" not in said
    assert (folder / "generated/api/dicomweb/store_instances.py").exists()
    used(api, folder, PYTHON / "python", "by_openapi_python_client.py")


def test_a_client_of_hey_api_submits_waits_and_reads(api: Api, folder: Path):
    ran(folder, "openapi-ts", "-i", "openapi.json", "-o", "hey", "-c", "@hey-api/client-fetch")
    assert "storeInstances" in (folder / "hey/sdk.gen.ts").read_text()
    compiled(folder, "by_hey_api.ts")
    used(api, folder, "node", "js/by_hey_api.js")


def test_a_client_of_openapi_typescript_submits_waits_and_reads(api: Api, folder: Path):
    ran(folder, "openapi-typescript", "openapi.json", "-o", "paths.d.ts")
    compiled(folder, "by_openapi_typescript.ts")
    used(api, folder, "node", "js/by_openapi_typescript.js")


def compiled(folder: Path, program: str) -> None:
    """As JavaScript, if its types are right."""
    ran(
        folder,
        *("tsc", program, "--outDir", "js", "--module", "commonjs", "--moduleResolution", "node10"),
        *("--target", "es2022", "--lib", "es2022,dom,dom.iterable", "--skipLibCheck", "--strict"),
    )
