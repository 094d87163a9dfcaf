"""Measures what a radiograph costs: processor time of each process of the service, and of the bare engine."""

from statistics import mean
from time import process_time

from benchmarks.engines import some_inputs
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.processor_time import STORES, spent
from benchmarks.radiographs import radiographs
from benchmarks.service import running
from model.bundle import Bundle
from model.engines import Engine, choose, start

CLIENTS = 32
WARM_JOBS = 32
JOBS = 150


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group, in milliseconds of one core for each radiograph."""
    engine = start(choose(None, bundle), bundle, lambda _: None)
    bare = [_bare(bundle, engine)]
    with running() as (service, client, _):
        saturate(client.analyse, radiographs(WARM_JOBS), CLIENTS, "warming up")
        pids = service.supervisor.pids
        before = spent(pids)
        saturate(client.analyse, radiographs(JOBS), CLIENTS, "cost")
        after = spent(pids)
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
