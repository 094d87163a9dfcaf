"""Runs the service with real stores in a folder of its own, part by part."""

import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3

from jobs.redis.client import connect
from stack.addresses import Addresses, free_ports
from stack.development import make_bucket, prepare
from stack.folder import Folder, Secrets
from stack.part import Command, Part
from stack.parts import STOP_ORDER, inference, others, service_environment, stores, web
from stack.receiver import Receiver
from stack.supervisor import Supervisor
from tests.jobs.redis.trusted import remembers_all

UNLIMITED = {
    "OSTEO_CLIENT_RATE": "1000000",
    "OSTEO_CLIENT_QUEUE": "1000000",
    "OSTEO_MAX_QUEUE": "1000000",
    "OSTEO_MAX_QUEUE_SECONDS": "1000000",
    "OSTEO_LOG_LEVEL": "WARNING",
    # Two workers of a role would share a port.
    "OSTEO_METRICS_PORT": "0",
}
"""One client sends everything here, more than a client may; such limits are not what is measured."""

ANSWER_SECONDS = 300.0


@dataclass
class Service:
    """Where the parts of a service run; those that `begin` started are running."""

    settings: dict[str, str]
    addresses: Addresses
    folder: Folder
    secrets: Secrets
    supervisor: Supervisor

    def begin(self, commands: Sequence[Command], cores: set[int] | None = None) -> list[Part]:
        """Start parts, on these cores alone if any are named, and return when they answer."""
        parts = self.parts(commands)
        every = os.sched_getaffinity(0)
        os.sched_setaffinity(0, cores or every)
        try:
            self.supervisor.begin(parts)
        finally:
            os.sched_setaffinity(0, every)
        self.supervisor.settle(parts)
        return parts

    def parts(self, commands: Sequence[Command]) -> list[Part]:
        """Make parts, and start none."""
        return [Part(command, self.folder.fresh_log(command.name), self.folder.lock) for command in commands]


@contextmanager
def stores_alone(**settings: str) -> Iterator[Service]:
    """Start Redis and the object store, and nothing else."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OSTEO_")},
        **UNLIMITED,
        **settings,
    }
    api_port, flower_port = free_ports(2)
    environment |= {"PORT": str(api_port), "FLOWER_PORT": str(flower_port)}
    with tempfile.TemporaryDirectory(prefix="osteo-benchmark-") as path:
        addresses = Addresses.from_environment(environment)
        folder = Folder(Path(path))
        secrets = folder.secrets()
        with Supervisor(STOP_ORDER) as supervisor:
            made = service_environment(environment, addresses, secrets, folder.path)
            service = Service(made, addresses, folder, secrets, supervisor)
            service.begin(stores(environment, addresses, secrets, folder))
            make_bucket(made)
            remembers_all(connect(made["REDIS_URL"]))
            yield service


@contextmanager
def running(
    cores: set[int] | None = None, **settings: str
) -> Iterator[tuple[Service, "ServiceClient", Part]]:
    """Run the whole service but Flower, with a client, and its inference worker on these `cores` if any."""
    with stores_alone(**settings) as service:
        service.begin([web(service.settings, service.addresses)])
        service.begin(others(service.settings, service.addresses, service.folder.path)[:2])
        (worker,) = service.begin([inference(service.settings)], cores)
        service.secrets = prepare(service.secrets, service.folder, service.addresses, service.settings)
        assert service.secrets.webhook_secret
        with Receiver(service.secrets.webhook_secret) as receiver:
            yield service, ServiceClient(service, receiver), worker


class ServiceClient:
    """A telemedicine client: submits radiographs, and hears of them by callback. Any thread may call it."""

    def __init__(
        self, service: Service, receiver: Receiver | None = None, address: str | None = None
    ) -> None:
        """Stand for the development client of `service`, at its API or at another `address`."""
        self._receiver = receiver
        self._url = f"{address or service.addresses.api}/v1/jobs"
        key = {"Authorization": f"Bearer {service.secrets.api_key}"}
        self._pool = urllib3.PoolManager(maxsize=128, headers=key, retries=False)

    def submit(self, body: bytes) -> str:
        """Submit a radiograph; the id of its job."""
        fields: dict[str, Any] = {"image": ("radiograph", body)}
        if self._receiver:
            fields["callback_url"] = self._receiver.url
        answer = self._pool.request("POST", self._url, fields=fields)
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {answer.data.decode(errors='replace')}")
        return str(answer.json()["id"])

    def status(self, job_id: str) -> dict[str, Any]:
        """Read the job as it is now."""
        return dict(self._pool.request("GET", f"{self._url}/{job_id}").json())

    def analyse(self, body: bytes) -> None:
        """Submit a radiograph and return when its callback has arrived. Raises where it did not succeed."""
        assert self._receiver
        callback = self._receiver.wait_for(self.submit(body), ANSWER_SECONDS)
        if callback.job["state"] != "succeeded":
            raise RuntimeError(json.dumps(callback.job))


def resident(pid: int) -> int:
    """Bytes of memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def seconds_of(part: Part) -> float:
    """Start a part and return how long it took to answer."""
    began = time.perf_counter()
    part.start()
    while not part.look():
        time.sleep(0.02)
    return time.perf_counter() - began
