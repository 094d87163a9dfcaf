"""Measures what a radiograph costs: processor time of each process of the service, and of the bare engine."""

import os
from collections import defaultdict
from pathlib import Path
from statistics import mean
from time import process_time

from benchmarks.engines import some_inputs
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.radiographs import radiographs
from benchmarks.service import running
from model.bundle import Bundle
from model.engines import Engine, choose, start

CLIENTS = 32
WARM_JOBS = 32
JOBS = 150
STORES = ("redis", "s3")
"""Parts that are not the service's own. They are measured, and left out of the sum."""
_TICK = os.sysconf("SC_CLK_TCK")


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group, in milliseconds of one core for each radiograph."""
    engine = start(choose(None, bundle), bundle, lambda _: None)
    bare = [_bare(bundle, engine)]
    with running() as (service, client, _):
        saturate(client.analyse, radiographs(WARM_JOBS), CLIENTS, "warming up")
        pids = service.supervisor.pids
        before = _spent(pids)
        saturate(client.analyse, radiographs(JOBS), CLIENTS, "cost")
        after = _spent(pids)
    bare.append(_bare(bundle, engine))
    costs = {name: 1000 * (after[name] - before[name]) / JOBS for name in pids}
    own = sum(cost for name, cost in costs.items() if name not in STORES)
    return [
        *(figure(f"cost: {name}", cost, "ms") for name, cost in costs.items()),
        figure("cost: the service's processes, against the bare engine", own, "ms", mean(bare), at_most=1.2),
    ]


def _bare(bundle: Bundle, engine: Engine) -> float:
    inputs = some_inputs(bundle.description.input_size)
    engine.run(inputs)
    rounds, began = 10, process_time()
    for _ in range(rounds):
        engine.run(inputs)
    return 1000 * (process_time() - began) / (rounds * len(inputs))


def _spent(pids: dict[str, int]) -> dict[str, float]:
    """Sum the seconds of processor time of each part, with those of its descendants."""
    seconds: dict[int, float] = {}
    children: defaultdict[int, list[int]] = defaultdict(list)
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # It has ended.
            continue
        pid, parent = int(folder.name), int(fields[1])
        # Its own time and that of its children that have ended, in user and system mode.
        seconds[pid] = sum(map(int, fields[11:15])) / _TICK
        children[parent].append(pid)

    def of_tree(pid: int) -> float:
        return seconds.get(pid, 0.0) + sum(map(of_tree, children[pid]))

    return {name: of_tree(pid) for name, pid in pids.items()}
