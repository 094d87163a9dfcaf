"""Measures callbacks a second to one receiver, with receiver and stores at a distance of the worker."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from urllib.parse import urlsplit

from tqdm import tqdm

from benchmarks.delay_proxy import DelayProxy
from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.service import Service, stores_alone
from jobs.callbacks.signing import webhook_secret
from jobs.lifecycle.next_step import start_next_step
from jobs.record.ids import new_id
from jobs.record.job import ImageFacts, Job, now
from jobs.record.states import Delivery
from jobs.settings import Settings
from jobs.store.stores import Stores
from stack.parts import others
from stack.receiver import Receiver

JOBS = 60
CLIENT = "benchmark"
DISTANCES = ((0.0, 0.2, 1), (0.0, 0.6, 1), (0.1, 0.1, 1), (0.1, 0.1, 3))
"""Seconds of a round trip to the stores and to the receiver, and how many delivery workers there are."""
SECONDS = 600.0


def measure() -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    near, _ = _rate(0.0, 0.0, 1)
    figures = [figure("callbacks: to one receiver nearby", near, "callbacks/s")]
    for stores, receiver, workers in DISTANCES:
        where = f"stores at {stores * 1000:.0f} ms, receiver at {receiver * 1000:.0f} ms, workers: {workers}"
        rate, connections = _rate(stores, receiver, workers)
        figures.append(figure(f"callbacks: {where}", rate, "callbacks/s", near))
        figures.append(figure(f"callbacks: {where}, connections", connections, "connections"))
    return figures


def _rate(stores: float, receiver: float, workers: int) -> tuple[float, int]:
    """Have delivery workers call a receiver; the calls a second, and the connections that they took.

    The calls of the first quarter are left out: the workers start meanwhile.
    """
    with ExitStack() as stack:
        service = stack.enter_context(stores_alone())
        signing_key = service.settings["OSTEO_SIGNING_KEY"]
        listener = stack.enter_context(Receiver(webhook_secret(signing_key, CLIENT)))
        port = urlsplit(listener.url).port
        assert port
        proxy = stack.enter_context(DelayProxy(port, receiver))
        _end_jobs(service, listener.url.replace(str(port), str(proxy.port)))
        at_a_distance = stack.enter_context(_settings(service, stores))
        worker, *_rest = others(at_a_distance, service.addresses, service.folder.path)
        for part in service.begin([worker] * workers):
            # Before its way to the stores ends, without which it would wait for them.
            stack.callback(part.kill)
        bar = stack.enter_context(tqdm(total=JOBS, desc=f"{stores} s and {receiver} s away", leave=False))
        (first, begun), (last, ended) = _seen(listener, bar, JOBS // 4), _seen(listener, bar, JOBS)
        return (last - first) / (ended - begun), proxy.connections


def _seen(receiver: Receiver, bar: "tqdm[None]", count: int) -> tuple[int, float]:
    """Wait for so many callbacks; return how many there are, and when."""
    deadline = time.perf_counter() + SECONDS
    while (seen := len(receiver.callbacks)) < count:
        if receiver.rejected or time.perf_counter() > deadline:
            raise RuntimeError(f"{seen} of {JOBS} callbacks arrived: {receiver.rejected[:1]}")
        bar.update(seen - bar.n)
        time.sleep(0.005)
    return seen, time.perf_counter()


def _end_jobs(service: Service, url: str) -> None:
    """End jobs, each of which owes a callback to this address."""
    os.environ.update({name: value for name, value in service.settings.items() if name.startswith("AWS_")})
    stores = Stores.connect(Settings.from_environment(service.settings))
    for _ in tqdm(range(JOBS), "jobs", leave=False):
        moment = now()
        job = Job(
            id=new_id("job"),
            client=CLIENT,
            image=ImageFacts(sha256="0" * 64, width=1, height=1, format="PNG", size=1),
            created_at=moment,
            queued_at=moment,
            callback_url=url,
            delivery=Delivery.PENDING,
        )
        stores.ledger.accept(job, b"1")
        started = stores.ledger.append(job.started("benchmark", now()))
        ended = stores.ledger.append(started.succeeded({"finding": "fracture"}, now()))
        start_next_step(ended, stores.ledger, stores.queue)
    stores.close()


@contextmanager
def _settings(service: Service, seconds: float) -> Iterator[dict[str, str]]:
    """Yield the settings by which a worker reaches the stores at this distance."""
    with ExitStack() as stack:
        settings = dict(service.settings)
        for name in ("REDIS_URL", "S3_ENDPOINT_URL") if seconds else ():
            port = urlsplit(settings[name]).port
            assert port
            proxy = stack.enter_context(DelayProxy(port, seconds))
            settings[name] = settings[name].replace(f":{port}", f":{proxy.port}")
        yield settings
