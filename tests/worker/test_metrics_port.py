"""Tests the port at which a worker process serves its metrics."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import urllib3
from prometheus_client.parser import text_string_to_metric_families

from jobs.settings import Settings
from jobs.version import VERSION
from stack.addresses import free_ports
from stack.part import ROOT
from tests.conftest import environment_of


@contextmanager
def sweeper(settings: Settings, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a real sweeper, the worker that starts soonest."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "sweeper"],
            cwd=ROOT,
            env=environment_of(settings),
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def answer(port: int, process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Return the metrics at the port, once there are any."""
    deadline = time.monotonic() + 180
    while True:
        try:
            response = urllib3.request("GET", f"http://127.0.0.1:{port}/metrics", retries=False)
            return response.data.decode()
        except urllib3.exceptions.HTTPError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no port"
            time.sleep(0.1)


def test_a_worker_serves_its_version_and_what_it_uses(settings, ledger, tmp_path: Path):
    (port,) = free_ports(1)
    with sweeper(replace(settings, metrics_port=port), tmp_path / "log") as process:
        families = text_string_to_metric_families(answer(port, process, tmp_path / "log"))
        samples = {sample.name: sample for family in families for sample in family.samples}
        assert samples["osteo_build_info"].labels == {"version": VERSION}
        assert samples["process_resident_memory_bytes"].value > 1e6
        assert f"{port:04X}" in listening(process.pid), "on loopback alone"


def test_a_port_in_use_ends_the_worker_with_a_sentence(settings, ledger, tmp_path: Path):
    (port,) = free_ports(1)
    set_ = replace(settings, metrics_port=port)
    with sweeper(set_, tmp_path / "first") as first:
        answer(port, first, tmp_path / "first")
        with sweeper(set_, tmp_path / "second") as second:
            assert second.wait(60) == 2
    last = (tmp_path / "second").read_text().splitlines()[-1]
    assert last.startswith(f"OSTEO_METRICS_PORT={port} at OSTEO_METRICS_ADDRESS=127.0.0.1 cannot be")
    assert last.endswith("Address already in use. Give each worker of a machine a port of its own.")


def test_a_worker_without_a_port_listens_nowhere(settings, ledger, tmp_path: Path):
    log = tmp_path / "log"
    with sweeper(settings, log) as process:
        deadline = time.monotonic() + 180
        while not any(name.startswith("sweeper") for name in ledger.view.heartbeats.alive()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, "no heartbeat"
            time.sleep(0.1)
        assert listening(process.pid) == set()


def listening(pid: int) -> set[str]:
    """Return the ports, in hexadecimal digits, at which a process listens on 127.0.0.1.

    Fails where it listens at another address.
    """
    sockets = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            sockets.add(os.readlink(descriptor))
        except OSError:
            continue  # It was closed in the meantime.
    ports = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            _, own, _, state, *_, inode = line.split()[:10]
            if state == "0A" and f"socket:[{inode}]" in sockets:
                address, _, port = own.partition(":")
                assert address == "0100007F", own
                ports.add(port)
    return ports
