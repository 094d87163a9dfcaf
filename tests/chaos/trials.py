"""Runs one trial: jobs are submitted as by a client, something breaks, and their ends are counted."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from typing import Any

import urllib3

from jobs.record.job import Job
from jobs.record.states import Delivery, State
from tests.chaos.service import Service

CLIENTS = 8
"""Submissions under way at once."""
MOST_SECONDS = 240
"""A job that has not ended so long after the last submission is lost."""
PATIENCE = 60.0
"""Seconds after which an API that has not answered hangs; its own time-outs are far below."""

Fault = Callable[[Service, Event], float]
"""Breaks something once the event is set, and mends it if it does not mend itself. Returns the moment
(monotonic) from which recovery counts: that of a kill, the end of an outage."""


@dataclass(frozen=True)
class Row:
    """What one trial has shown: numbers of jobs, and seconds.

    `slowest` is the longest that the API took to answer. `recovery` is from the kill or the end of the outage
    to the end of the last job and its callback.
    """

    name: str
    accepted: int
    ended: int
    failed: int
    again: int
    """Analyses that were begun more than once; no client sees that."""
    overwritten: int
    """Jobs with more than one result."""
    called: int
    """Jobs whose callback arrived under one webhook-id, once or more often."""
    called_again: int
    refused: int
    """Answers other than 202, and connections that broke; the client sent these again."""
    slowest: float
    recovery: float

    @property
    def lost(self) -> int:
        """Accepted, and never ended."""
        return self.accepted - self.ended

    @property
    def missing(self) -> int:
        """Callbacks that did not arrive, or under more than one id."""
        return self.accepted - self.called


class Client:
    """Submits images, each until it is accepted, and keeps the ids of the jobs."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pool = urllib3.PoolManager(maxsize=CLIENTS, block=True)
        self._lock = Lock()
        self.accepted: list[str] = []
        self.refused: Counter[int] = Counter()
        self.slowest = 0.0

    def submit(self, image: bytes) -> None:
        """One job. Raises AssertionError where the API hangs, or answers with anything but 202 and 503."""
        fields = {"callback_url": self._service.receiver.url, "image": ("image.png", image)}
        while (answer := self._asked("POST", "/v1/jobs", fields=fields)) is None or answer.status != 202:
            status = answer.status if answer else 0
            assert status in (0, 503), f"the API answered {status}: {answer and answer.data!r}"
            with self._lock:
                self.refused[status] += 1
            # Sooner than Retry-After asks, so that many a request meets what is broken.
            time.sleep(0.2)
        with self._lock:
            self.accepted.append(answer.json()["id"])

    def settled(self, job_id: str) -> bool:
        """Whether the job and its callback have ended."""
        answer = self._asked("GET", f"/v1/jobs/{job_id}")
        if answer is None or answer.status != 200:
            return False
        job = answer.json()
        return job["state"] not in ("queued", "running") and job["delivery"] != "pending"

    def ended(self, job_id: str) -> bool:
        """Whether the job's result is there."""
        answer = self._asked("GET", f"/v1/jobs/{job_id}/result")
        return answer is not None and answer.status == 200

    def _asked(self, method: str, path: str, **named: Any) -> urllib3.BaseHTTPResponse | None:
        headers = {"Authorization": f"Bearer {self._service.api_key}"}
        began = time.monotonic()
        try:
            return self._pool.request(
                method,
                self._service.api_url + path,
                headers=headers,
                timeout=PATIENCE,
                retries=False,
                **named,
            )
        except urllib3.exceptions.TimeoutError as error:
            raise AssertionError(f"the API hangs: no answer within {PATIENCE} s") from error
        except urllib3.exceptions.HTTPError:
            return None
        finally:
            with self._lock:
                self.slowest = max(self.slowest, time.monotonic() - began)


def run(service: Service, name: str, images: Sequence[bytes], after: int, fault: Fault) -> Row:
    """Submit `images`; once `after` of them are accepted let `fault` begin, and count the ends of all.

    Raises AssertionError where the fault did not happen, or the API hung or broke.
    """
    service.await_ready()
    client, enough = Client(service), Event()

    def submit(image: bytes) -> None:
        client.submit(image)
        if len(client.accepted) >= after:
            enough.set()

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        mended: Future[float] = pool.submit(fault, service, enough)
        for submitted in [pool.submit(submit, image) for image in images]:
            submitted.result()
        mended_at = mended.result()
    recovery = max(0.0, _settled_at(client) - mended_at)
    return counted(service, name, client, recovery)


def _settled_at(client: Client) -> float:
    deadline = time.monotonic() + MOST_SECONDS
    waited = list(client.accepted)
    while waited and time.monotonic() < deadline:
        if client.settled(waited[-1]):
            waited.pop()
        else:
            time.sleep(0.05)
    return time.monotonic()


def counted(service: Service, name: str, client: Client, recovery: float) -> Row:
    """Count how the jobs that the client has submitted ended."""
    ids_of_callbacks: dict[str, list[str]] = defaultdict(list)
    for callback in list(service.receiver.callbacks):
        ids_of_callbacks[callback.job["id"]].append(callback.webhook_id)
    called = [ids_of_callbacks[job_id] for job_id in client.accepted]
    with ThreadPoolExecutor(CLIENTS) as pool:
        histories: list[list[Job]] = list(pool.map(service.ledger.history, client.accepted))
    results = [sum(map(_ends, jobs)) for jobs in histories]
    return Row(
        name=name,
        accepted=len(client.accepted),
        ended=sum(jobs[-1].state.final for jobs in histories),
        failed=sum(jobs[-1].state is not State.SUCCEEDED for jobs in histories),
        again=sum(sum(job.state is State.RUNNING for job in jobs) > 1 for jobs in histories),
        overwritten=sum(count > 1 for count in results),
        called=sum(len(set(ids)) == 1 for ids in called),
        called_again=sum(len(ids) > 1 for ids in called),
        refused=sum(client.refused.values()),
        slowest=client.slowest,
        recovery=recovery,
    )


def _ends(job: Job) -> bool:
    """Whether the job ended in this version of it."""
    return job.state.final and job.delivery_attempts == 0 and job.delivery is Delivery.PENDING
