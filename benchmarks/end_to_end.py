"""Measures the whole service, from POST to callback, against the bare engine and the lightest service."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import harmonic_mean, mean, median, quantiles
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.cost import STORES, spent
from benchmarks.engines import rate, some_inputs
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import MeasuredLoad, saturate
from benchmarks.radiographs import radiographs
from benchmarks.rivals.lightest import ANALYSIS, INTAKE, lightest_service
from benchmarks.service import Service, ServiceClient, resident, running
from model.bundle import WEIGHTS, Bundle, read_bundle
from model.engines import Engine, choose, start
from model.weights import each_weight

CLIENTS = 32
IDLE_JOBS = 300
WARM_JOBS = 32
APART_JOBS = 150
ROUNDS = 4
ROUND_JOBS = 150


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group.

    Service, lightest service and bare engine take turns, because the speed of a machine drifts by more than
    what is looked for.
    """
    engine = start(choose(None, bundle), bundle, lambda _: None)
    inputs = some_inputs(bundle.description.input_size)
    rounds, lightest_rounds, bare = [], [], [_rate(engine, inputs)]
    with running() as (service, client, worker), lightest_service(bundle) as (lightest_at, lightest_client):
        for one in (client, lightest_client):
            saturate(one.analyse, radiographs(WARM_JOBS), CLIENTS, "warming up")
        for turn in range(1, ROUNDS + 1):
            rounds.append(_saturate(service, client, f"end to end, round {turn}"))
            lightest_rounds.append(_saturate(lightest_at, lightest_client, f"the lightest, round {turn}"))
            bare.append(_rate(engine, inputs))
        memory = resident(worker.pid)
        idle, lightest_idle, alone = _idle(client, lightest_client, engine, inputs)
    seen, lightest = _together(rounds), _together(lightest_rounds)
    apart, alone_apart = _apart(bundle)
    over = np.array(idle) - median(alone)
    weights = sum(value.size * 4 for _, value in each_weight(bundle.folder / WEIGHTS))
    return [
        figure("end to end: throughput", seen.load.rate, "radiographs/s", mean(bare)),
        figure(
            "end to end: throughput, against the lightest service of the same promise",
            seen.load.rate,
            "radiographs/s",
            lightest.load.rate,
            at_least=0.9,
        ),
        figure(
            "end to end: cost of the service's processes, against those of the lightest service",
            sum(seen.costs.values()),
            "ms",
            sum(lightest.costs.values()),
            at_most=1.2,
        ),
        figure(
            "end to end: cost of the API, against the lightest intake",
            seen.costs["api"],
            "ms",
            lightest.costs[INTAKE],
        ),
        figure(
            "end to end: cost of the inference and the delivery worker, against the lightest worker",
            seen.costs["worker"] + seen.costs["delivery"],
            "ms",
            lightest.costs[ANALYSIS],
        ),
        figure(
            "end to end: throughput, against a service that costs nothing",
            seen.load.rate,
            "radiographs/s",
            _rate_of_a_free_service(mean(bare), seen.others / 1000),
        ),
        figure(
            "end to end: throughput, a core for the worker and one for all else",
            apart,
            "radiographs/s",
            alone_apart,
        ),
        figure("end to end: latency at saturation, p99", seen.load.percentile(99), "s"),
        figure("latency: bare inference, p50", median(alone), "s"),
        figure(
            "latency: idle service, p50, against the lightest service",
            median(idle),
            "s",
            median(lightest_idle),
            at_most=1.2,
        ),
        figure(
            "latency: idle service, p99, against the lightest service",
            _p99(idle),
            "s",
            _p99(lightest_idle),
            at_most=1.2,
        ),
        figure("latency: idle service over bare inference, p50", median(over), "s"),
        figure("latency: idle service over bare inference, p99", _p99(over), "s"),
        figure("memory: inference worker", memory / 1e6, "MB", weights / 1e6, at_most=2.5),
    ]


@dataclass(frozen=True)
class _Round:
    """What clients saw of a load, and the ms of one core for a radiograph: of each part, and of all else.

    All else are the stores, and this process: clients and receiver.
    """

    load: MeasuredLoad
    costs: dict[str, float]
    others: float


def _saturate(service: Service, client: ServiceClient, label: str) -> _Round:
    pids = service.supervisor.pids
    before, here = spent(pids), time.process_time()
    load = saturate(client.analyse, radiographs(ROUND_JOBS), CLIENTS, label)
    after, own = spent(pids), time.process_time() - here
    costs = {name: 1000 * (after[name] - before[name]) / ROUND_JOBS for name in pids}
    stores = sum(costs.pop(name) for name in STORES)
    return _Round(load, costs, stores + 1000 * own / ROUND_JOBS)


def _together(rounds: Sequence[_Round]) -> _Round:
    """Join the rounds of one service as if they had been one load."""
    rate = harmonic_mean([one.load.rate for one in rounds])
    seconds = tuple(seconds for one in rounds for seconds in one.load.seconds)
    costs = {name: mean(one.costs[name] for one in rounds) for name in rounds[0].costs}
    return _Round(MeasuredLoad(rate, seconds), costs, mean(one.others for one in rounds))


def _rate_of_a_free_service(bare: float, others: float) -> float:
    """Radiographs a second where engine, stores and clients share the cores, and nothing else does.

    `bare` is the rate of the engine that has all cores; `others` are the seconds of one core that stores and
    clients take for a radiograph.
    """
    cores = len(os.sched_getaffinity(0))
    return cores / (cores / bare + others)


def _rate(engine: Engine, inputs: np.ndarray) -> float:
    """Radiographs a second of the engine alone, in full batches."""
    engine.run(inputs)
    return rate(len(inputs), lambda: engine.run(inputs))


def _apart(bundle: Bundle) -> tuple[float, float]:
    """Radiographs a second through the service with a core for the worker, and of the engine on that core.

    As it is where workers run on machines of their own: only what the worker itself does takes its core.
    """
    every = os.sched_getaffinity(0)
    own, rest = {max(every)}, every - {max(every)}
    with ProcessPoolExecutor(1, get_context("spawn"), os.sched_setaffinity, (0, own)) as process:
        bare = [process.submit(_bare, bundle.folder).result()]
        os.sched_setaffinity(0, rest)
        try:
            with running(own) as (_, client, _):
                saturate(client.analyse, radiographs(WARM_JOBS), CLIENTS, "warming up")
                seen = saturate(client.analyse, radiographs(APART_JOBS), CLIENTS, "a core for the worker")
        finally:
            os.sched_setaffinity(0, every)
        bare.append(process.submit(_bare, bundle.folder).result())
    return seen.rate, sum(bare) / 2


def _bare(folder: Path) -> float:
    bundle = read_bundle(folder)
    engine = start(choose(None, bundle), bundle, lambda _: None)
    return _rate(engine, some_inputs(bundle.description.input_size))


def _idle(
    client: ServiceClient, lightest: ServiceClient, engine: Engine, inputs: np.ndarray
) -> tuple[list[float], list[float], list[float]]:
    """Time one job of the service, one of the lightest, and one radiograph in the bare engine, in turn."""
    through, through_lightest, bare = [], [], []
    for body in tqdm(radiographs(IDLE_JOBS), "one at a time", leave=False):
        through.append(_seconds(client.analyse, body))
        through_lightest.append(_seconds(lightest.analyse, body))
        bare.append(_seconds(engine.run, inputs[:1]))
    return through, through_lightest, bare


def _seconds(work: Callable[[Any], object], of: object) -> float:
    began = time.perf_counter()
    work(of)
    return time.perf_counter() - began


def _p99(values: Sequence[float] | np.ndarray) -> float:
    return float(quantiles(values, n=100, method="inclusive")[98])
