"""Tests the API against its own description, with requests that schemathesis generates."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from admin.keys import Keys
from tests.api.conftest import Api
from tests.api.routes.test_jobs import PNG

UNWRITABLE = "^/dicom-web"
"""Left out: multipart/related is no body that it can write; test_dicomweb.py tries these routes."""
MEANT = "positive_data_acceptance"
"""Left out: random bytes are of the type that the description gives an image, and are no image."""


@pytest.mark.skipif(
    find_spec("schemathesis") is None, reason="THERE IS NO SCHEMATHESIS: THE API WAS NOT TRIED WITH IT"
)
@pytest.mark.parametrize("examples", [1, pytest.param(10, marks=pytest.mark.long)])
def test_every_answer_is_in_the_description(api: Api, tmp_path: Path, examples: int):
    """`examples` for each route, beside those that try its parameters one by one."""
    settings = tmp_path / "schemathesis.toml"
    # A client of its own: what other tests have made up for theirs is not all of a form that the API makes.
    key = Keys(api.records).create("described")
    job = api.request("POST", "/v1/jobs", key=key, fields={"image": ("x.png", PNG)}).json()["id"]
    settings.write_text(f'[parameters]\njob_id = "{job}"\n')
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
        *("run", f"{api.url}/openapi.json", "--url", api.url),
        *("--header", f"Authorization: Bearer {key}", "--exclude-checks", MEANT),
        *("--exclude-path-regex", UNWRITABLE),
        *("--phases", "coverage,fuzzing", "--max-examples", str(examples)),
        *("--generation-deterministic", "--continue-on-failure", "--no-color"),
        # Other tests run beside this one, and may leave it no processor for seconds.
        *("--suppress-health-check", "too_slow"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
