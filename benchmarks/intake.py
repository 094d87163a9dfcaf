"""Measures the API on one core, with the stores on the other.

It is compared with the lightest Flask application of the same promise, and with `put_object` alone.
"""

import os
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import mean, median

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.radiographs import radiographs
from benchmarks.rivals.lightest import PROCESSES, THREADS, begin_intake
from benchmarks.service import Service, ServiceClient, resident, stores_alone
from jobs.store.objects import Objects
from stack.development import prepare
from stack.parts import web

SECONDS = 5.0
RECORD = 700
"""Bytes of a job's first record, about."""
SUBMISSIONS, ROUNDS = 600, 6
BURST = 500
GOAL = 0.75


def measure() -> list[BenchmarkFigure]:
    """Measure the figures of this group; needs two cores."""
    pinned, rest = {0}, set(os.sched_getaffinity(0)) - {0}
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, rest)
    try:
        with stores_alone() as service:
            (api,) = service.begin([web(service.settings, service.addresses)], pinned)
            service.secrets = prepare(service.secrets, service.folder, service.addresses, service.settings)
            client = ServiceClient(service)
            lightest, guarded = (
                ServiceClient(service, address=begin_intake(service, name, settings, pinned))
                for name, settings in (("lightest", {}), ("guarded", {"RIVAL_GUARDS": "1"}))
            )
            for each in (client, lightest, guarded):
                saturate(each.submit, radiographs(50), THREADS, "warming up")
            image, record = radiographs(1), bytes(RECORD)
            puts, pairs = [_rate(service, image, pinned)], [_rate(service, [*image, record], pinned)]
            rates = _in_turn({"ours": client, "lightest": lightest, "guarded": guarded})
            puts.append(_rate(service, image, pinned))
            pairs.append(_rate(service, [*image, record], pinned))
            burst = saturate(client.submit, radiographs(BURST), BURST // 4, "burst")
            workers = _children(api.pid)
            memory = max(resident(pid) for pid in workers)
            tensorflow = sum("tensorflow" in Path(f"/proc/{pid}/maps").read_text() for pid in workers)
    finally:
        os.sched_setaffinity(0, every)
    put = mean(puts)
    return [
        figure(
            "intake: submissions, against the lightest application with the same guards",
            rates["ours"],
            "submissions/s",
            rates["guarded"],
            at_least=GOAL,
        ),
        figure(
            "intake: submissions, against the lightest application",
            rates["ours"],
            "submissions/s",
            rates["lightest"],
        ),
        figure("intake: lightest application", rates["lightest"], "submissions/s", put),
        figure("intake: image and record put, and nothing else", mean(pairs), "submissions/s", put),
        figure(f"intake: burst of {BURST}, p99", burst.percentile(99), "s"),
        figure("intake: resident set of an API process", memory / 1e6, "MB"),
        figure("intake: API processes with TensorFlow in memory", tensorflow, "processes", at_most=0),
    ]


def _in_turn(clients: Mapping[str, ServiceClient]) -> dict[str, float]:
    """Measure submissions a second of each, in short rounds in turn: a machine that drifts favours none."""
    many = radiographs(SUBMISSIONS // ROUNDS)
    rates: dict[str, list[float]] = {name: [] for name in clients}
    for _ in range(ROUNDS):
        for name, client in clients.items():
            rates[name].append(saturate(client.submit, many, PROCESSES * THREADS, name).rate)
    return {name: median(of) for name, of in rates.items()}


def _rate(service: Service, objects: list[bytes], cores: set[int]) -> float:
    """Measure how often a second the API's core, with as many processes and threads, puts these."""
    work = partial(_put, service.settings, objects, cores)
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as processes:
        return sum(processes.map(work, range(PROCESSES))) / SECONDS


def _put(settings: dict[str, str], bodies: list[bytes], cores: set[int], process: int) -> int:
    os.sched_setaffinity(0, cores)
    os.environ.update({name: value for name, value in settings.items() if name.startswith("AWS_")})
    objects = Objects.connect(settings["S3_ENDPOINT_URL"], "osteo")
    objects.put(f"benchmark/{process}/first", bodies[0])
    ends = time.perf_counter() + SECONDS

    def fill(thread: int) -> int:
        done = 0
        while time.perf_counter() < ends:
            for number, body in enumerate(bodies):
                objects.put(f"benchmark/{process}/{thread}/{done}/{number}", body)
            done += 1
        return done

    with ThreadPoolExecutor(THREADS) as threads:
        return sum(threads.map(fill, range(THREADS)))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
