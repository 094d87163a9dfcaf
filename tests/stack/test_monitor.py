"""What `make monitor` says where it cannot start."""

import json
import os
import subprocess
import sys
from pathlib import Path

from stack.addresses import free_ports
from stack.part import ROOT


def refusal(var: Path, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "stack", "monitor"],
        cwd=ROOT,
        env={**os.environ, "OSTEO_VAR": str(var), **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_monitor_without_a_stack_says_so_and_leaves_no_folder(tmp_path: Path):
    assert f"no stack of `make up` runs in {tmp_path}" in refusal(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_monitor_without_its_programs_says_what_to_install(tmp_path: Path):
    (tmp_path / "ready.json").write_text(json.dumps({"api": "http://127.0.0.1:1", "metrics": {}}))
    ports = dict(zip(("PROMETHEUS_PORT", "ALERTMANAGER_PORT"), map(str, free_ports(2)), strict=True))
    told = refusal(tmp_path, PATH=str(tmp_path), **ports)
    assert "there is no prometheus-alertmanager. On Debian: apt-get install" in told


def test_monitor_names_the_setting_of_a_port_that_is_none(tmp_path: Path):
    (tmp_path / "ready.json").write_text(json.dumps({"api": "http://127.0.0.1:1", "metrics": {}}))
    assert "PROMETHEUS_PORT='none'" in refusal(tmp_path, PROMETHEUS_PORT="none")
