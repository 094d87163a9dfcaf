"""Tests a real delivery worker with a client whose receivers never answer."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from socket import create_server
from threading import Thread

import pytest

from jobs.lifecycle.next_step import start_next_step
from jobs.record.job import now
from jobs.record.states import Delivery
from jobs.redis.delivery_queues import CLIENT_SLOTS
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.probes import Probes
from tests.conftest import a_job, environment_of

ROOT = Path(__file__).parents[3]
SLOW_HOSTS = [f"127.0.0.{number}" for number in range(2, 14)]
PROBES = 100
SECONDS = 60


class SlowHosts:
    """Receivers on a dozen hosts that accept every connection and never answer."""

    def __init__(self) -> None:
        self.held: list[object] = []
        self.urls: list[str] = []
        self._servers = [create_server((host, 0)) for host in SLOW_HOSTS]
        for server in self._servers:
            host, port = server.getsockname()
            self.urls.append(f"http://{host}:{port}/")
            Thread(target=self._hold, args=[server], daemon=True).start()

    def _hold(self, server) -> None:
        while True:
            try:
                self.held.append(server.accept())
            except OSError:
                return

    def close(self) -> None:
        for server in self._servers:
            server.close()


@contextmanager
def delivery_worker(settings: Settings, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A delivery worker in a process of its own."""
    with (folder / "delivery.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "worker", "delivery"],
            cwd=ROOT,
            env=environment_of(settings),
            stdout=log,
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def await_that(condition: Callable[[], object], what: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, "the delivery worker has ended"
        assert time.monotonic() < deadline, f"not within {SECONDS} s: {what}"
        time.sleep(0.05)


def owe(client: str, url: str, ledger: Ledger, queue: JobQueue) -> str:
    """End a job of this client, so that it owes a callback, and return its id."""
    job = a_job(client=client, callback_url=url)
    ledger.accept(job, b"image")
    ended = ledger.append(ledger.append(job.started("w", now())).succeeded({"finding": "fracture"}, now()))
    start_next_step(ended, ledger, queue)
    return job.id


@pytest.mark.parametrize("flood", ["jobs", "probes"])
def test_slow_receivers_of_one_client_hold_up_no_other_client(
    settings, ledger, queue, receiver, tmp_path, flood
):
    slow, probes = SlowHosts(), Probes(ledger.records)
    # No call ends before the test has seen the callback of the other client.
    patient = replace(
        settings,
        callback_seconds=5 * SECONDS,
        callback_exceptions=settings.callback_exceptions | set(SLOW_HOSTS),
    )
    with ExitStack() as stack:
        stack.callback(slow.close)
        if flood == "jobs":
            for _ in range(4):
                for url in slow.urls:
                    owe("flood", url, ledger, queue)
        else:
            for number in range(PROBES):
                queue.probe("flood", probes.create("flood", slow.urls[number % len(slow.urls)]))
        worker = stack.enter_context(delivery_worker(patient, tmp_path))
        await_that(lambda: slow.held, "a call to a slow receiver", worker)
        job_id = owe("clinic", receiver.url, ledger, queue)
        await_that(lambda: ledger.read(job_id).delivery is Delivery.DELIVERED, "the other's callback", worker)
        assert 0 < len(slow.held) <= CLIENT_SLOTS
    assert len(receiver.received) == 1
