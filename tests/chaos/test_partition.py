"""Every accepted job ends once, also where hosts are cut off: a cut of `python -m tests.chaos.partition`."""

import subprocess
import sys

import pytest

from stack.part import ROOT
from tests.chaos.network import may_have_networks
from tests.chaos.partition import NEEDS

SHORT = ("--jobs", "30", "--seconds", "18", "--only", "worker and API host")
"""After 15 s without a heartbeat the sweeper takes jobs from a worker."""


@pytest.mark.skipif(not may_have_networks(), reason=f"NOTHING WAS TRIED BETWEEN HOSTS: {NEEDS}")
def test_every_accepted_job_ends_once_where_hosts_are_cut_off():
    command = (sys.executable, "-m", "tests.chaos.partition", *SHORT)
    tried = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr
    # Accepted, ended, lost, overwritten.
    assert "| 30 | 30 | 0 | 0 |" in tried.stdout
