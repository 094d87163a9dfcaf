"""Measures throughput by workers, batch and image, and a job with up to 100,000 waiting before it."""

import time
from statistics import median

from tqdm import tqdm

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.load import saturate
from benchmarks.radiographs import radiographs
from benchmarks.service import ServiceClient, running, stores_alone
from jobs.record.ids import new_id
from jobs.record.job import ImageFacts, Job, now
from jobs.redis.view import View
from stack.development import prepare
from stack.parts import inference, web

CLIENTS = 32
JOBS = 64
BATCHES = (1, 4)
KILOBYTES = (30, 1000)
QUEUES = (0, 1_000, 10_000, 100_000)
QUEUED_CLIENTS = 50
ASKED = 60


def measure() -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    figures = []
    with running() as (service, client, _):
        one = _throughput(client, 100, "one worker")
        figures.append(figure("scale: throughput, 1 worker, batch 8, 100 KB", one, "radiographs/s"))
        for kilobytes in KILOBYTES:
            rate = _throughput(client, kilobytes, f"{kilobytes} KB")
            figures.append(figure(f"scale: throughput, {kilobytes} KB", rate, "radiographs/s", one))
        service.begin([inference(service.settings)])
        two = _throughput(client, 100, "two workers")
        figures.append(figure("scale: throughput, 2 workers", two, "radiographs/s", one))
    for batch in BATCHES:
        with running(OSTEO_BATCH=str(batch)) as (_, client, _):
            rate = _throughput(client, 100, f"batch {batch}")
            figures.append(figure(f"scale: throughput, batch {batch}", rate, "radiographs/s", one))
    return figures + _by_queue()


def _throughput(client: ServiceClient, kilobytes: int, label: str) -> float:
    saturate(client.analyse, radiographs(8, kilobytes), CLIENTS, "warming up")
    return saturate(client.analyse, radiographs(JOBS, kilobytes), CLIENTS, label).rate


def _by_queue() -> list[BenchmarkFigure]:
    """Time a submission and a status, with so many jobs of other clients waiting."""
    figures: list[BenchmarkFigure] = []
    with stores_alone() as service:
        service.begin([web(service.settings, service.addresses)])
        service.secrets = prepare(service.secrets, service.folder, service.addresses, service.settings)
        client, (body,) = ServiceClient(service), radiographs(1)
        view = View.connect(service.settings["REDIS_URL"], 86_400)
        client.status(client.submit(body))
        waiting, first = 0, (0.0, 0.0)
        for length in QUEUES:
            for number in tqdm(range(waiting, length), f"queueing up to {length}", leave=False):
                view.put(_job(f"client-{number % QUEUED_CLIENTS}"))
            waiting = length
            asked = _asked(client, body)
            first = first if figures else asked
            goal = 1.5 if length == QUEUES[-1] else None
            figures += [
                figure(
                    f"scale: {what}, p50, {length} jobs waiting", value * 1000, "ms", at * 1000, at_most=goal
                )
                for what, value, at in zip(("submission", "status"), asked, first, strict=True)
            ]
    return figures


def _asked(client: ServiceClient, body: bytes) -> tuple[float, float]:
    """Median seconds of a submission, and of the status of a job that waits."""
    submissions, statuses = [], []
    for _ in range(ASKED):
        began = time.perf_counter()
        job_id = client.submit(body)
        submitted = time.perf_counter()
        client.status(job_id)
        submissions.append(submitted - began)
        statuses.append(time.perf_counter() - submitted)
    return median(submissions), median(statuses)


def _job(client: str) -> Job:
    at = now()
    return Job(new_id("job"), client, ImageFacts("0" * 64, 640, 480, "JPEG", 100_000), at, at)
