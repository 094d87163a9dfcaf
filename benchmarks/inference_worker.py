"""Measures the inference worker by itself: its start, and how its memory grows."""

import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from scipy import stats
from tqdm import tqdm

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.radiographs import radiographs
from benchmarks.rivals.lightest import READY, worker
from benchmarks.service import resident, running, seconds_of, stores_alone
from jobs.redis.client import connect
from model.bundle import Bundle
from model.engines import choose, start
from stack.parts import inference

STARTS = 3
CLIENTS = 32
JOBS, SETTLED = 14_000, 6_000
"""Jobs of which the memory is looked at, and after how many of them it has settled."""


def measure_start(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the start, against the engine alone and against the lightest worker, in turn."""
    name = choose(None, bundle)
    start(name, bundle, lambda _: None)  # Imports what it needs, and reads the files into the page cache.
    alone: list[float] = []
    whole: list[float] = []
    lightest: list[float] = []
    with stores_alone(OSTEO_BUNDLE=str(bundle.folder.resolve())) as service:
        redis = connect(service.settings["REDIS_URL"])
        for _ in tqdm(range(STARTS), "starts", leave=False):
            began = time.perf_counter()
            start(name, bundle, lambda _: None)
            alone.append(time.perf_counter() - began)
            redis.delete(READY)
            for command, seconds in ((inference(service.settings), whole), (worker(service), lightest)):
                (part,) = service.parts([command])
                seconds.append(seconds_of(part))
                part.terminate()
                part.collect()
    return [
        figure("start: inference worker, against reading and compiling", median(whole), "s", median(alone)),
        figure(
            "start: inference worker, against the lightest worker",
            median(whole),
            "s",
            median(lightest),
            at_most=1.2,
        ),
    ]


def measure_memory() -> list[BenchmarkFigure]:
    """Measure how memory grows over thousands of jobs.

    The network is the small one of the tests, since what could grow is not the network.
    """
    from tests.model.conftest import DESCRIPTION, untrained, write

    sampled: list[int] = []
    with TemporaryDirectory() as folder:
        small = write(Path(folder) / "bundle", DESCRIPTION, untrained())
        with running(OSTEO_BUNDLE=str(small.folder)) as (_, client, worker):

            def analyse(body: bytes) -> None:
                client.analyse(body)
                sampled.append(resident(worker.pid))

            saturate(analyse, radiographs(JOBS), CLIENTS, "memory")
    slope, low = _growth(sampled[SETTLED:])
    name = "growth: memory of the inference worker, a thousand jobs of a small network"
    return [
        figure(name, slope * 1000 / 1e6, "MB"),
        figure(f"{name}, least of its 95 % interval", low * 1000 / 1e6, "MB", at_most=0.1),
    ]


def _growth(settled: list[int], blocks: int = 20) -> tuple[float, float]:
    """Bytes that a job adds, and the least of the slope's 95 % interval.

    Over the means of blocks: samples taken one after another are nearly the same one.
    """
    means = [float(np.mean(block)) for block in np.array_split(settled, blocks)]
    fitted = stats.linregress(np.arange(blocks) * len(settled) / blocks, means)
    margin = stats.t.ppf(0.975, blocks - 2) * fitted.stderr
    return float(fitted.slope), float(fitted.slope - margin)
