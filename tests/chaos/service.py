"""Runs the whole service on this machine with two inference workers; a part that dies is restarted."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Self
from unittest.mock import patch

from redis import Redis

from jobs.models.bundles import Bundles
from jobs.models.roll_out import RollOuts
from jobs.redis.view import View
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from stack import answers
from stack.addresses import HOST, Addresses, free_ports
from stack.development import make_bucket
from stack.folder import Folder
from stack.part import Command, Part
from stack.parts import service_environment
from stack.receiver import Receiver
from tests.chaos.s3_proxy import S3Proxy
from tests.chaos.stand_in import FOLDER
from tests.jobs.redis.trusted import remembers_all
from tests.jobs.store.s3_server import stores

START_SECONDS = 120
ANALYSIS_SECONDS = 10
"""An analysis that takes longer hangs: the stand-in takes milliseconds, and 3 s under a heavy load."""
WORKERS = ("inference-1", "inference-2")
SWEEPERS = ("sweeper-1", "sweeper-2")
SHADOW = "shadow"


class Service:
    """Runs while its context is open, in `folder`. `s3` stands before the S3 server, and fails as set."""

    workers: tuple[str, ...] = (*WORKERS, "delivery", *SWEEPERS, SHADOW)
    receiver_host = HOST

    def __init__(self, folder: Path) -> None:
        self._folder = Folder(folder)
        self._secrets = self._folder.secrets()
        port, flower = free_ports(2)
        self._addresses = Addresses.from_environment({"PORT": str(port), "FLOWER_PORT": str(flower)})
        self.s3 = S3Proxy(self._addresses.s3)
        self.redis_url = self._addresses.redis(self._secrets.redis_password)
        self._parts: dict[str, Part] = {}
        self._may_start: dict[str, Event] = {}
        self._closing = Event()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.s3)
            stack.callback(self._stop)
            self.api_url, environment = self._addresses.api, self._environment()
            self._begin(*self._stores(environment))
            make_bucket(environment)
            with patch.dict(os.environ, environment):  # Its own keys, and only for this moment.
                objects = Objects.connect(self._addresses.s3, "osteo")
            self.ledger = Ledger(objects, View.connect(self.redis_url, 86_400))
            # As in a service that has run for a minute. A fault alone may make it forget a write lock.
            remembers_all(self.ledger.view.redis)
            if SHADOW in self.workers:
                self._cast_shadow()
            environment["S3_ENDPOINT_URL"] = self.s3.url
            self._begin(*self._apis(environment))
            self._begin(*(self._worker(environment, name) for name in self.workers))
            self._keys_of = environment
            made = self._made("chaos")
            self.api_key = made["api_key"]
            self.receiver = stack.enter_context(Receiver(made["webhook_secret"], self.receiver_host))
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    @property
    def folder(self) -> Path:
        """Where the marks of windows lie, and the logs in `log`."""
        return self._folder.path

    def scored(self, kind: str) -> int:
        """How many copies the shadow has scored with this kind of difference, since Redis was last empty."""
        return self.ledger.view.counts().get(f"shadow:{kind}", 0)

    def shadow_loads(self) -> int:
        """How often a shadow worker has loaded its bundle, by its log."""
        return (self.folder / "log" / f"{SHADOW}.log").read_text().count(" is ready in ")

    def await_shadow_load(self, loads: int) -> None:
        """Return when so many loads of the shadow's bundle have ended. Raises TimeoutError."""
        deadline = time.monotonic() + START_SECONDS
        while self.shadow_loads() < loads or self.ledger.view.model_loads.begun(self._shadow_bundle):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the shadow does not load. {self._parts[SHADOW].last_lines()}")
            time.sleep(0.05)

    def _cast_shadow(self) -> None:
        """Name a bundle as shadow, which scores copies of all jobs. The stand-in is loaded in its place."""
        bundle = self._folder.path / "bundle"
        bundle.mkdir()
        (bundle / "bundle.json").write_text('{"files": {}}')
        digest = self._shadow_bundle = Bundles(self.ledger.objects).publish(bundle)
        RollOuts(self.ledger.records).change(lambda now: now.with_shadow(digest, 100))

    def redis(self) -> Redis:
        """A connection to its Redis, with nothing of the service's own care in it."""
        return Redis.from_url(self.redis_url)

    def key_of(self, client: str) -> str:
        """An API key of another client."""
        return self._made(client)["api_key"]

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one part, and to what it has started."""
        os.killpg(self._parts[name].pid, number)

    def tell(self, name: str, number: signal.Signals) -> None:
        """Send a signal to one part alone."""
        os.kill(self._parts[name].pid, number)

    def kill_and_await(self, name: str) -> None:
        """Kill a part, and return when the process in its place answers."""
        part = self._parts[name]
        killed = part.pid
        self.send(name, signal.SIGKILL)
        # The beats of a process that was killed outlast it for some seconds.
        while part.pid == killed:
            time.sleep(0.05)
        self.await_ready(name)

    @contextmanager
    def down(self, name: str) -> Iterator[None]:
        """Kill a part and leave it dead while the context is open."""
        self._may_start[name].clear()
        self.send(name, signal.SIGKILL)
        try:
            yield
        finally:
            self._may_start[name].set()

    def await_ready(self, *names: str) -> None:
        """Return when these parts answer, by default all of them. Raises TimeoutError."""
        deadline = time.monotonic() + START_SECONDS
        waited = [self._parts[name] for name in names or self._parts]
        while waited:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{waited[0].name} does not answer. {waited[0].last_lines()}")
            waited = [part for part in waited if not part.look()]
            time.sleep(0.1)

    def _made(self, client: str) -> dict[str, str]:
        made = subprocess.run(
            (sys.executable, "-m", "admin.keys", "create", "--client", client),
            env=self._keys_of,
            check=True,
            capture_output=True,
        )
        key: dict[str, str] = json.loads(made.stdout)
        return key

    def _environment(self) -> dict[str, str]:
        return {
            **service_environment(os.environ, self._addresses, self._secrets, self._folder.path),
            FOLDER: str(self._folder.path),
            "OSTEO_ANALYSIS_SECONDS": str(ANALYSIS_SECONDS),
            # Two workers of a role would share a port.
            "OSTEO_METRICS_PORT": "0",
            # What is tried here is not the quota.
            "OSTEO_CLIENT_RATE": "1000000",
            "OSTEO_CLIENT_QUEUE": "10000",
        }

    def _stores(self, environment: dict[str, str]) -> list[Command]:
        return stores(environment, self._addresses, self._secrets, self._folder)

    def _apis(self, environment: dict[str, str]) -> list[Command]:
        return [self._api("api", environment, HOST)]

    def _api(self, name: str, environment: dict[str, str], host: str) -> Command:
        where = f"{host}:{self._addresses.api_port}"
        ready = answers.http(f"http://{where}/health/ready")
        gunicorn = ("gunicorn", "--config", "api/gunicorn.conf.py", "--bind", where)
        return self._python(name, environment, ready, *gunicorn, "tests.chaos.process:api()")

    def _python(
        self, name: str, environment: dict[str, str], answer: answers.Question, *module: str
    ) -> Command:
        return Command(name, (sys.executable, "-m", *module), environment, answer)

    def _worker(self, environment: dict[str, str], name: str) -> Command:
        role = name.partition("-")[0]
        answer = answers.heartbeat(self.redis_url, role)
        return self._python(name, environment, answer, "tests.chaos.process", role)

    def _begin(self, *commands: Command) -> None:
        for command in commands:
            part = Part(command, self._folder.fresh_log(command.name), self._folder.lock)
            self._parts[part.name], self._may_start[part.name] = part, Event()
            self._may_start[part.name].set()
            started = Event()
            Thread(target=self._keep, args=[part, started], daemon=True).start()
            started.wait()
        self.await_ready()

    def _keep(self, part: Part, started: Event) -> None:
        # A thread of its own for each: the kernel ends a part with the thread that has started it.
        while not self._closing.is_set():
            part.start()
            if self._closing.is_set():  # `_stop` may have looked for what runs before this start.
                part.kill()
            started.set()
            select.select([part.ended], [], [])
            part.collect()
            self._may_start[part.name].wait()

    def _stop(self) -> None:
        self._closing.set()
        for part in self._parts.values():
            self._may_start[part.name].set()
            if part.running:
                part.kill()
        for part in self._parts.values():
            while part.running:
                time.sleep(0.01)
