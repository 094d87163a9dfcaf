"""Measures the whole service, from POST to callback, against the bare engine; and its memory."""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median, quantiles

import numpy as np
from scipy import stats
from tqdm import tqdm

from benchmarks.cost import STORES, spent
from benchmarks.engines import rate, some_inputs
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.radiographs import radiographs
from benchmarks.service import ServiceClient, resident, running
from model.bundle import WEIGHTS, Bundle, read_bundle
from model.engines import Engine, choose, start
from model.weights import each_weight

CLIENTS = 32
IDLE_JOBS = 40
WARM_JOBS = 32
APART_JOBS = 300


def measure(bundle: Bundle, jobs: int) -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    engine = start(choose(None, bundle), bundle, lambda _: None)
    inputs = some_inputs(bundle.description.input_size)
    bare = [_rate(engine, inputs)]
    with running() as (service, client, worker):
        saturate(client.analyse, radiographs(WARM_JOBS), CLIENTS, "warming up")
        sampled: list[int] = []

        def analyse(body: bytes) -> None:
            client.analyse(body)
            sampled.append(resident(worker.pid))

        pids = {name: service.supervisor.pids[name] for name in STORES}
        before = _others_spent(pids)
        seen = saturate(analyse, radiographs(jobs), CLIENTS, "end to end")
        others = (_others_spent(pids) - before) / jobs
        idle, alone = _idle(client, engine, inputs)
    bare.append(_rate(engine, inputs))
    apart, alone_apart = _apart(bundle)
    over = np.array(idle) - median(alone)
    weights = sum(value.size * 4 for _, value in each_weight(bundle.folder / WEIGHTS))
    slope, low = _growth(sampled)
    return [
        figure("end to end: throughput", seen.rate, "radiographs/s", mean(bare)),
        figure(
            "end to end: throughput, against a service that costs nothing",
            seen.rate,
            "radiographs/s",
            _rate_of_a_free_service(mean(bare), others),
            at_least=0.85,
        ),
        figure(
            "end to end: throughput, a core for the worker and one for all else",
            apart,
            "radiographs/s",
            alone_apart,
            at_least=0.9,
        ),
        figure("end to end: latency at saturation, p99", seen.percentile(99), "s"),
        figure("latency: bare inference, p50", median(alone), "s"),
        figure("latency: idle service, p50", median(idle), "s"),
        figure("latency: idle service over bare inference, p50", median(over), "s", at_most=0.035),
        figure("latency: idle service over bare inference, p99", _p99(over), "s", at_most=0.08),
        figure("memory: inference worker", max(sampled) / 1e6, "MB", weights / 1e6, at_most=2.5),
        figure("memory: growth a thousand jobs", slope * 1000 / 1e6, "MB"),
        figure(
            "memory: growth a thousand jobs, least of its 95 % interval", low * 1000 / 1e6, "MB", at_most=0
        ),
    ]


def _others_spent(stores: Mapping[str, int]) -> float:
    """Seconds of processor time of the stores, and of this process: clients and receiver."""
    return sum(spent(stores).values()) + time.process_time()


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


def _idle(client: ServiceClient, engine: Engine, inputs: np.ndarray) -> tuple[list[float], list[float]]:
    """Time one job at a time, and the bare engine with one radiograph, in turn."""
    through, bare = [], []
    for body in tqdm(radiographs(IDLE_JOBS), "one at a time", leave=False):
        began = time.perf_counter()
        client.analyse(body)
        through.append(time.perf_counter() - began)
        began = time.perf_counter()
        engine.run(inputs[:1])
        bare.append(time.perf_counter() - began)
    return through, bare


def _p99(values: np.ndarray) -> float:
    return float(quantiles(values, n=100, method="inclusive")[98])


def _growth(sampled: list[int], blocks: int = 20) -> tuple[float, float]:
    """Bytes that a job adds, and the least of the slope's 95 % interval, after the first half.

    Over the means of blocks: samples taken one after another are nearly the same one. A worker is settled
    once Celery knows a thousand tasks that went well: it remembers the latest so many.
    """
    settled = sampled[len(sampled) // 2 :]
    means = [float(np.mean(block)) for block in np.array_split(settled, blocks)]
    fitted = stats.linregress(np.arange(blocks) * len(settled) / blocks, means)
    margin = stats.t.ppf(0.975, blocks - 2) * fitted.stderr
    return float(fitted.slope), float(fitted.slope - margin)
