"""Runs the service on two API hosts and three worker hosts; stores, client and receiver are in the hub."""

import itertools
import os
from dataclasses import replace
from pathlib import Path
from secrets import token_hex

import urllib3

from jobs.record.states import Delivery
from stack.addresses import HOST
from stack.answers import Question
from stack.part import Command
from tests.chaos.late_write import KEY, give_up_a_write
from tests.chaos.network import HUB, Network, address
from tests.chaos.service import Service
from tests.chaos.trials import Client

API_HOSTS = (1, 2)
WORKER_HOSTS = (3, 4, 5)
ROLES = ("inference", "delivery", "sweeper")
"""Each worker host runs one worker of each."""


class ServiceOnHosts(Service):
    """Each part of it at the host whose number its name ends with; stores and receiver in the hub."""

    workers = tuple(f"{role}-{host}" for host in WORKER_HOSTS for role in ROLES)
    receiver_host = HUB

    def __init__(self, folder: Path, network: Network) -> None:
        super().__init__(folder)
        self.network = network
        self.api_urls = [f"http://{address(host)}:{self._addresses.api_port}" for host in API_HOSTS]
        self._at_hosts = {
            "REDIS_URL": self.redis_url.replace(HOST, HUB),
            "S3_ENDPOINT_URL": self._addresses.s3.replace(HOST, HUB),
            "OSTEO_CALLBACK_EXCEPTIONS": HUB,
            # The default: here an analysis may wait for the network.
            "OSTEO_ANALYSIS_SECONDS": "120",
            "no_proxy": ",".join(filter(None, (os.environ.get("no_proxy"), HUB))),
        }

    def beating(self, host: int) -> int:
        """How many workers of this host have a heartbeat, as the service sees it."""
        alive = self.ledger.view.heartbeats.alive()
        pids = {self._parts[f"{role}-{host}"].pid for role in ROLES}
        return sum(int(name.split(":")[2]) in pids for name in alive)

    def write_given_up_arrives(self) -> bool:
        """Whether a write arrives that a worker host began while it was cut off, and gave up."""
        environment = {**self._keys_of, **self._at_hosts}
        give_up_a_write(self.network, WORKER_HOSTS[0], environment, self._addresses.s3_port)
        return self.ledger.objects.exists(KEY)

    def _stores(self, environment: dict[str, str]) -> list[Command]:
        redis, s3 = super()._stores(environment)
        return [
            replace(redis, arguments=(*redis.arguments, "--bind", HOST, HUB)),
            replace(s3, arguments=(*s3.arguments, "--addr", self._at_hosts["S3_ENDPOINT_URL"][7:])),
        ]

    def _apis(self, environment: dict[str, str]) -> list[Command]:
        return [self._api(f"api-{host}", environment, address(host)) for host in API_HOSTS]

    def _python(self, name: str, environment: dict[str, str], answer: Question, *module: str) -> Command:
        command = super()._python(name, {**environment, **self._at_hosts}, answer, *module)
        within = self.network.within(int(name.rpartition("-")[2]))
        return replace(command, arguments=(*within, *command.arguments))


class ClientOfHosts(Client):
    """Sends each submission under one idempotency key, to the API hosts in turn, until it is accepted."""

    taken_again = frozenset({0, 409, 503})
    """409: the request before, whose answer did not arrive, is still in intake."""
    timeout = urllib3.Timeout(connect=3, read=10)

    def __init__(self, service: ServiceOnHosts) -> None:
        super().__init__(service)
        self._ledger = service.ledger
        self._urls = itertools.cycle(service.api_urls)

    def settled(self, job_id: str) -> bool:
        """Whether the job and its callback have ended. It is asked in the hub, past the network."""
        job = self._ledger.current(job_id)
        return job.state.final and job.delivery is not Delivery.PENDING

    def _of_one_submission(self) -> dict[str, str]:
        return {"Idempotency-Key": token_hex(16)}

    def _url(self) -> str:
        return next(self._urls)

    def _silent(self, error: Exception) -> None:
        pass  # The other host is asked next.
