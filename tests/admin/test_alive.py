"""`python -m admin.alive ROLE`: what it says of a worker that lives, of none, and while Redis is away."""

import os
import socket
import subprocess
import sys

import pytest

from stack.addresses import free_ports
from stack.part import ROOT

LENIENT = "--redis-may-be-down"


def alive(redis_url: str, *options: str) -> int:
    command = [sys.executable, "-m", "admin.alive", "inference", *options]
    return subprocess.run(command, cwd=ROOT, env=os.environ | {"REDIS_URL": redis_url}).returncode


@pytest.mark.parametrize("options", [(), (LENIENT,)])
def test_a_worker_lives_if_one_of_its_role_beats_on_this_host(settings, ledger, options):
    host = socket.gethostname()
    for other in (f"delivery:{host}:1:x", "inference:elsewhere:1:x"):
        ledger.view.heartbeats.beat(other)
    assert alive(settings.redis_url, *options) == 1
    ledger.view.heartbeats.beat(f"inference:{host}:1:x")
    assert alive(settings.redis_url, *options) == 0


def test_a_redis_that_is_away_is_no_reason_to_restart_a_worker():
    (port,) = free_ports(1)
    nowhere = f"redis://127.0.0.1:{port}/0"
    assert alive(nowhere) == 1
    assert alive(nowhere, LENIENT) == 0


def test_a_wrong_setting_is_said_whatever_redis_does(monkeypatch):
    monkeypatch.setenv("OSTEO_SWEEP_SECONDS", "0")
    assert alive("redis://127.0.0.1:1/0", LENIENT) == 2
