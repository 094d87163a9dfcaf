"""Measures a round of the sweeper beside 100,000 jobs that wait for a late callback, and beside none."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from statistics import median
from unittest.mock import patch

from tqdm import tqdm

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.service import Service, stores_alone
from jobs.record.ids import new_id
from jobs.record.job import ImageFacts, Job, now
from jobs.record.job_json import job_to_json
from jobs.record.states import Delivery
from jobs.settings import Settings
from jobs.store.stores import Stores
from worker.sweeper.sweep import Sweeper, sweep

JOBS = 100_000
CLIENTS = 50
ROUNDS = 100
WRITERS = 16
LATER = timedelta(hours=10)


def measure(jobs: int = JOBS) -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    with stores_alone() as service, patch.dict(os.environ, service.settings):
        settings = Settings.from_environment(os.environ)
        none = _sweeper(replace(settings, s3_bucket="none"))
        many = _sweeper(settings)
        waiting = [_waiting(f"client-{number % CLIENTS}") for number in range(jobs)]
        # Before anything is read of the bucket: to put them one by one would take minutes.
        _mark(waiting, _bucket(service, settings))
        alone = _seconds_a_round(none)
        with ThreadPoolExecutor(WRITERS) as threads:
            shown = threads.map(many.ledger.view.put, waiting)
            list(tqdm(shown, "jobs that wait for a callback", jobs, leave=False))
        beside = _seconds_a_round(many)
    name = f"sweep: a round beside {jobs} late callbacks, against none"
    return [figure(name, beside * 1000, "ms", alone * 1000, at_most=1.5)]


def _sweeper(settings: Settings) -> Sweeper:
    stores = Stores.connect(settings)
    stores.objects.make_bucket()
    limit = timedelta(seconds=settings.running_seconds)
    return Sweeper(stores.ledger, stores.queue, settings.max_attempts, limit)


def _seconds_a_round(sweeper: Sweeper) -> float:
    """Time a round: the median, once the first rounds have looked at what is new."""
    seconds = []
    for _ in tqdm(range(ROUNDS), "rounds", leave=False):
        began = time.perf_counter()
        sweep(sweeper)
        seconds.append(time.perf_counter() - began)
    return median(seconds)


def _waiting(client: str) -> Job:
    """Make a job that has ended, whose receiver did not answer, and that is due again in some hours."""
    at = now()
    image = ImageFacts("0" * 64, 640, 480, "JPEG", 100_000)
    url = f"https://{client}.example/hook"
    job = Job(new_id("job"), client, image, at, at, delivery=Delivery.PENDING, callback_url=url)
    ended = job.started("inference:a:1", at).succeeded({"finding": "no_fracture"}, at)
    return ended.delivery_begun(at + LATER)


def _bucket(service: Service, settings: Settings) -> Path:
    return service.folder.path / "s3" / settings.s3_bucket


def _mark(jobs: list[Job], bucket: Path) -> None:
    """Write the markers as the S3 server keeps its objects, a file each."""
    (bucket / "pending").mkdir(parents=True)
    for job in jobs:
        (bucket / "pending" / job.id).write_bytes(job_to_json(job))
