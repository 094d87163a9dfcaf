"""Every accepted job ends once, also where a process dies: a short cut of `make chaos`."""

from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from operator import attrgetter

import pytest

from tests.chaos import faults
from tests.chaos.__main__ import Trial, attempt, faults_of, trials
from tests.chaos.neighbour import Hostility
from tests.chaos.service import Service
from tests.chaos.windows import WINDOWS, Window

CUT = (
    "api killed after the image is stored",
    "inference killed after inference",
    "delivery killed after the callback's answer",
    pytest.param("worker told to stop (SIGTERM)", marks=pytest.mark.long),
    "shadow worker killed",
    pytest.param("shadow's bundle raises", marks=pytest.mark.long),
    "Redis wiped",
    "Redis full",
    "S3's disk is full",
)
"""Of those for `make test-long`, test_update.py is the cut, and worker/rollout/test_shadow.py."""
JOBS = 25
LATER = 10
"""Seconds that a neighbour may cost here, beside other work: sockets closed in turn would cost 100."""


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: window.name)
def test_every_window_names_code_that_exists(window: Window):
    module, _, path = window.target.partition(":")
    attrgetter(path)(import_module(module))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("chaos")) as service:
        yield service


@pytest.mark.parametrize("name", CUT)
def test_every_accepted_job_ends_once_and_its_callback_arrives(service: Service, name: str):
    (trial,) = (replace(trial, jobs=JOBS) for trial in trials(0) if trial.name == name)
    row = attempt(service, trial, seed=0)
    assert row.accepted == trial.jobs
    # How long it takes is for `make chaos`, on a machine that does nothing else.
    assert [fault for fault in faults_of(row, trial) if not fault.startswith("recovery")] == []


def test_a_hostile_neighbour_keeps_no_client_from_its_results(service: Service):
    few = Hostility(lingering=100, half_sent=100, bombs=10, probes=50)
    trial = Trial("a hostile neighbour", faults.nothing, jobs=3, seconds=LATER, neighbour=few)
    row = attempt(service, trial, seed=0)
    assert row.accepted == trial.jobs
    # How long it takes is for `make chaos`, on a machine that does nothing else.
    assert [fault for fault in faults_of(row, trial) if not fault.startswith("recovery")] == []
