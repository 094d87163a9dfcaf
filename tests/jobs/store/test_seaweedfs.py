"""The tests of the store once more, on SeaweedFS, the S3 server of docker-compose.yml."""

import os
import subprocess
import sys

import pytest

from stack.part import ROOT
from tests.jobs.store.s3_server import SETTING, WEED

CONDITIONS = ("on_seaweedfs.py", "test_records.py")
OTHERS = ("test_audit.py", "test_ledger.py")


@pytest.mark.skipif(
    WEED is None,
    reason="NO TEST RAN ON SEAWEEDFS: `make test` installs it from requirements.lock, on x86_64 and aarch64",
)
@pytest.mark.parametrize("names", [CONDITIONS, pytest.param(OTHERS, marks=pytest.mark.long)], ids=" ".join)
def test_the_tests_of_the_store_pass_on_seaweedfs(names: tuple[str, ...]):
    files = [f"tests/jobs/store/{name}" for name in names]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        (sys.executable, "-m", "pytest", "-q", *files),
        cwd=ROOT,
        env={**environment, SETTING: "seaweedfs"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
