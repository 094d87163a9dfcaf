"""A cut of `make compose-run`: all of docker-compose.yml but its inference worker, the shadow and Flower."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compose.sandbox import NEEDS

ROOT = Path(__file__).parents[2]
MISSING = [name for name in NEEDS if not shutil.which(name)]


@pytest.mark.skipif(
    bool(MISSING) or os.geteuid() != 0,
    reason=f"docker-compose.yml WAS NOT RUN: this needs root, and lacks {MISSING}."
    " On Debian: apt-get install bubblewrap iproute2",
)
def test_the_services_run_as_users_on_read_only_roots_and_accept_a_job():
    left_out = [word for name in ("inference", "shadow", "flower") for word in ("--without", name)]
    command = [sys.executable, "-m", "tests.compose", *left_out]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "the API accepts a radiograph through the proxy: 202" in ran.stdout
