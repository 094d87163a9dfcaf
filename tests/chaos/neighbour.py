"""Runs a hostile neighbour: one client does all that a client can at once, and another works beside it."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from urllib.parse import urlsplit

import urllib3

from tests.chaos.service import Service
from tests.chaos.stand_in import image
from tests.chaos.trials import PATIENCE, Client, Row, counted
from tests.model.decode.test_bombs import jpeg_of_scans

HANDS = 16
"""Requests that the neighbour makes at once."""


@dataclass(frozen=True)
class Hostility:
    """How much of each the neighbour does."""

    lingering: int = 200
    half_sent: int = 200
    bombs: int = 50
    probes: int = 1000


def tried(service: Service, name: str, jobs: int, hostility: Hostility) -> Row:
    """So many jobs of one client, one after the other, beside the neighbour.

    `recovery` is by how many seconds submission, result or callback came later than on the idle service; of
    each the median counts.
    """
    service.await_ready()
    idle = _seconds(Client(service), jobs)
    client = Client(service)
    with _hostile(service, hostility):
        beside = _seconds(client, jobs)
    later = max(slow - fast for slow, fast in zip(beside, idle, strict=True))
    return counted(service, name, client, max(0.0, later))


def _seconds(client: Client, jobs: int) -> list[float]:
    """The medians until a submission is accepted, until its result is there, and until its callback is."""
    return [median(column) for column in zip(*(_of_one(client) for _ in range(jobs)), strict=True)]


def _of_one(client: Client) -> tuple[float, float, float]:
    began = time.monotonic()
    client.submit(image())
    times = [time.monotonic() - began]
    for reached in (client.ended, client.settled):
        while not reached(client.accepted[-1]):
            assert time.monotonic() - began < PATIENCE, "a job beside the neighbour does not end"
            time.sleep(0.02)
        times.append(time.monotonic() - began)
    return times[0], times[1], times[2]


@contextmanager
def _hostile(service: Service, hostility: Hostility) -> Iterator[None]:
    """The neighbour at work: its sockets are open, its bombs and test events are on their way."""
    key = service.key_of("neighbour")
    bearer = {"Authorization": f"Bearer {key}"}
    half = (
        f"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Length: 9999\r\n\r\nhalf"
    )
    lingering = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    bomb = jpeg_of_scans(2_000, progressive=True)
    address = urlsplit(service.api_url)
    with ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
        probe = json.dumps({"callback_url": f"http://127.0.0.1:{deaf.getsockname()[1]}/"})
        kinds = [lingering] * hostility.lingering + [half] * hostility.half_sent
        for text in kinds:
            opened = socket.create_connection((address.hostname or "", address.port or 0), PATIENCE)
            stack.enter_context(opened).sendall(text.encode())
        pool = urllib3.PoolManager(maxsize=HANDS, block=True, headers=bearer, timeout=PATIENCE)
        hands = ThreadPoolExecutor(HANDS)
        stack.callback(hands.shutdown, cancel_futures=True)
        for number in range(max(hostility.bombs, hostility.probes)):
            if number < hostility.bombs:
                hands.submit(pool.request, "POST", f"{service.api_url}/v1/jobs", body=bomb)
            if number < hostility.probes:
                headers = {**bearer, "Content-Type": "application/json"}
                where = f"{service.api_url}/v1/webhook/probes"
                hands.submit(pool.request, "POST", where, body=probe, headers=headers)
        yield
