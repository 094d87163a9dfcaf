"""Measures what a radiograph costs: processor time of each process of the service, and of the bare engine."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from heapq import nlargest
from itertools import pairwise
from pathlib import Path
from statistics import mean
from time import process_time

import numpy as np

from benchmarks.engines import some_inputs
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.radiographs import radiographs
from benchmarks.service import running
from model.bundle import Bundle
from model.engines import OPENVINO, Engine, choose, start

CLIENTS = 32
WARM_JOBS = 32
ROUNDS = 7
"""An odd number: one round is the median."""
JOBS = 48
"""Of one round."""
BATCHES = 4
"""That each bare engine runs before and after each round."""
REST_SECONDS = 1.0
"""The service is left so long after its last callback: it then records that the callback has arrived."""
STORES = ("redis", "s3")
"""Parts that are not the service's own."""
_AGAINST = "cost: the service's processes, against the bare engine in float"
_AGAINST_CHOSEN = "cost: the service's processes, against the bare engine that it chooses"
_WORKER = "worker"
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Round:
    """One round of load, in milliseconds of one core for each radiograph."""

    costs: Mapping[str, float]
    """By part of the service."""
    engine: float
    """Of the threads on which the worker runs the network; `costs` has them as a part of the worker."""
    bare: float
    """Of the bare engine that the service chooses, the mean of right before and right after the load."""
    in_float: float
    """Of the bare engine in float, likewise."""

    @property
    def own(self) -> float:
        """Sum the parts that are the service's own."""
        return sum(cost for name, cost in self.costs.items() if name not in STORES)

    @property
    def ratio(self) -> float:
        return self.own / self.in_float


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group: those of the round with the median ratio, and the spread.

    Load and bare engine take turns, because the speed of a machine drifts by more than what is looked for.
    """
    rounds = sorted(_measure_rounds(bundle), key=lambda one: one.ratio)
    middle = rounds[len(rounds) // 2]
    spread = {f"least of {ROUNDS} rounds": rounds[0], f"most of {ROUNDS} rounds": rounds[-1]}
    return [
        *(figure(f"cost: {name}", cost, "ms") for name, cost in middle.costs.items()),
        figure(_AGAINST, middle.own, "ms", middle.in_float, at_most=1.2),
        *(figure(f"{_AGAINST}, {which}", one.own, "ms", one.in_float) for which, one in spread.items()),
        figure(_AGAINST_CHOSEN, middle.own, "ms", middle.bare),
        _median(
            "cost: the service's processes, against the engine within the worker", "own", "engine", rounds
        ),
        _median("cost: the engine within the worker, against it alone", "engine", "bare", rounds),
    ]


def _median(name: str, value: str, reference: str, rounds: Sequence[_Round]) -> BenchmarkFigure:
    """Make a figure of two attributes of the round with the median ratio of them."""
    pairs = [(getattr(one, value), getattr(one, reference)) for one in rounds]
    middle = sorted(pairs, key=lambda pair: pair[0] / pair[1])[len(pairs) // 2]
    return figure(name, middle[0], "ms", middle[1])


def _measure_rounds(bundle: Bundle) -> list[_Round]:
    engines = [start(name, bundle, lambda _: None) for name in (choose(None, bundle), OPENVINO)]
    inputs = some_inputs(bundle.description.input_size)
    cores = len(os.sched_getaffinity(0))
    loads, bare = [], []
    with running() as (service, client, _):
        saturate(client.analyse, radiographs(WARM_JOBS), CLIENTS, "warming up")
        pids = service.supervisor.pids
        for engine in engines:
            engine.run(inputs)
        bare.append([_bare(engine, inputs) for engine in engines])
        for turn in range(ROUNDS):
            before, threads_before = spent(pids), _spent_by_threads(pids[_WORKER])
            saturate(client.analyse, radiographs(JOBS), CLIENTS, f"cost, round {turn + 1}")
            time.sleep(REST_SECONDS)
            after, threads = spent(pids), _spent_by_threads(pids[_WORKER])
            costs = {name: 1000 * (after[name] - before[name]) / JOBS for name in pids}
            # The network takes more than all else, on a thread for each core.
            each = (threads[thread] - threads_before.get(thread, 0.0) for thread in threads)
            loads.append((costs, 1000 * sum(nlargest(cores, each)) / JOBS))
            bare.append([_bare(engine, inputs) for engine in engines])
    around = [map(mean, zip(*pair, strict=True)) for pair in pairwise(bare)]
    return [_Round(*load, *of) for load, of in zip(loads, around, strict=True)]


def _bare(engine: Engine, inputs: np.ndarray) -> float:
    began = process_time()
    for _ in range(BATCHES):
        engine.run(inputs)
    return 1000 * (process_time() - began) / (BATCHES * len(inputs))


def spent(pids: Mapping[str, int]) -> dict[str, float]:
    """Sum the seconds of processor time of each part, with those of its descendants."""
    seconds: dict[int, float] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = _fields(folder)
        except OSError:  # It has ended.
            continue
        pid, parent = int(folder.name), int(fields[1])
        # Its own time and that of its children that have ended, in user and system mode.
        seconds[pid] = sum(map(int, fields[11:15])) / _TICK
        children[parent].append(pid)

    def of_tree(pid: int) -> float:
        return seconds.get(pid, 0.0) + sum(map(of_tree, children[pid]))

    return {name: of_tree(pid) for name, pid in pids.items()}


def _spent_by_threads(pid: int) -> dict[str, float]:
    """Read the seconds of processor time of each thread of a process, by its id."""
    seconds = {}
    for folder in Path(f"/proc/{pid}/task").iterdir():
        with suppress(OSError):  # It has ended.
            seconds[folder.name] = sum(map(int, _fields(folder)[11:13])) / _TICK
    return seconds


def _fields(folder: Path) -> list[str]:
    """Read the fields of `stat` behind the name, of a process or a thread."""
    return (folder / "stat").read_text().rpartition(")")[2].split()
