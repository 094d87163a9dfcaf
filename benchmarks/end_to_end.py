"""Measures the whole service, from POST to callback, against the bare engine and the lightest service."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
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
from benchmarks.rivals.lightest import lightest_service
from benchmarks.service import Service, ServiceClient, resident, running
from model.bundle import WEIGHTS, Bundle, read_bundle
from model.engines import Engine, choose, start
from model.weights import each_weight

CLIENTS = 32
IDLE_JOBS = 100
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
    seen, cost, others = _together(rounds)
    lightest, lightest_cost, _ = _together(lightest_rounds)
    apart, alone_apart = _apart(bundle)
    over = np.array(idle) - median(alone)
    weights = sum(value.size * 4 for _, value in each_weight(bundle.folder / WEIGHTS))
    return [
        figure("end to end: throughput", seen.rate, "radiographs/s", mean(bare)),
        figure(
            "end to end: throughput, against the lightest service of the same promise",
            seen.rate,
            "radiographs/s",
            lightest.rate,
            at_least=0.9,
        ),
        figure(
            "end to end: cost of the service's processes, against those of the lightest service",
            cost * 1000,
            "ms",
            lightest_cost * 1000,
            at_most=1.2,
        ),
        figure(
            "end to end: throughput, against a service that costs nothing",
            seen.rate,
            "radiographs/s",
            _rate_of_a_free_service(mean(bare), others),
        ),
        figure(
            "end to end: throughput, a core for the worker and one for all else",
            apart,
            "radiographs/s",
            alone_apart,
        ),
        figure("end to end: latency at saturation, p99", seen.percentile(99), "s"),
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


def _saturate(service: Service, client: ServiceClient, label: str) -> tuple[MeasuredLoad, float, float]:
    """Return what the clients saw, and the seconds of one core for a radiograph: of the service, of all else.

    All else are the stores, and this process: clients and receiver.
    """
    pids = service.supervisor.pids
    before, here = spent(pids), time.process_time()
    seen = saturate(client.analyse, radiographs(ROUND_JOBS), CLIENTS, label)
    after = spent(pids)
    each = {name: (after[name] - before[name]) / ROUND_JOBS for name in pids}
    stores = sum(each.pop(name) for name in STORES)
    return seen, sum(each.values()), stores + (time.process_time() - here) / ROUND_JOBS


def _together(rounds: Sequence[tuple[MeasuredLoad, float, float]]) -> tuple[MeasuredLoad, float, float]:
    """Join the rounds of one service as if they had been one load."""
    loads, costs, others = zip(*rounds, strict=True)
    seconds = [one for load in loads for one in load.seconds]
    rate = harmonic_mean([load.rate for load in loads])
    return MeasuredLoad(rate, tuple(seconds)), mean(costs), mean(others)


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
