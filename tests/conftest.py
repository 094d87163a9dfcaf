"""Real servers for every test: one Valkey or Redis and one S3 server, and a bucket for each test."""

import json
import os
import subprocess
import sys
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, fields
from functools import cache
from importlib import import_module
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch
from uuid import uuid4

import boto3
import botocore.session
import pytest
from redis import Redis

from jobs.record.ids import new_id
from jobs.record.job import ImageFacts, Job, now
from jobs.record.states import Delivery, State
from jobs.record.study import member_id, study_of
from jobs.redis.queue import DELIVER, QUEUE_OF_PRIORITY, JobQueue
from jobs.redis.view import View
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import INVERTED
from jobs.store.objects import Objects
from stack.addresses import Addresses, free_ports
from stack.folder import Folder
from stack.part import ROOT
from tests import browser as browsers
from tests.jobs.store.s3_server import stores

if TYPE_CHECKING:
    from playwright.sync_api import Browser

QUEUES = (*QUEUE_OF_PRIORITY.values(), DELIVER)
SIGNING_KEY = "a signing key that only the tests know, and long enough"


WAIT_SECONDS = 180.0
"""Longest wait. It costs nothing where the condition holds early, and a busy machine needs it."""


def await_that(
    condition: Callable[[], object], what: Callable[[], object] = lambda: "what was waited for did not come"
) -> None:
    """Return once the condition holds. Fails with `what` where it does not."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)


INTEGRATION = "tests/integration/"
"""One process runs this folder: its files share a stack, whose start costs half a minute of a processor."""
SMOKE = "tests/training/test_smoke.py"
WITH_KERAS = ("tests/model/", "tests/training/", "tests/worker/rollout/", "tests/admin/test_models.py")
"""One process runs these: Keras imports for ten seconds of a processor, and no other files need it."""
LONGEST = (INTEGRATION, SMOKE, *WITH_KERAS)
"""What takes minutes."""


def _session() -> boto3.session.Session:
    """Return a session, the same for the same variables: it has read credentials from them."""
    return _session_of(tuple(sorted(pair for pair in os.environ.items() if pair[0].startswith("AWS_"))))


@cache
def _session_of(_: tuple[tuple[str, str], ...]) -> boto3.session.Session:
    return boto3.session.Session()


COMPILED = pytest.StashKey[TemporaryDirectory[str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Let all stacks read what the first one compiled, and all connections what botocore read of S3.

    Else each stack compiles for seconds, and each connection to a bucket reads descriptions of AWS for a
    quarter of a second, and makes a session; nearly every test of the stores or the API makes one or more.
    """
    botocore.session.create_loader = cache(botocore.session.create_loader)
    boto3.Session = _session
    if "OSTEO_ENGINE_CACHE" not in os.environ:
        config.stash[COMPILED] = folder = TemporaryDirectory(prefix="osteo-compiled-")
        os.environ["OSTEO_ENGINE_CACHE"] = folder.name


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove what was compiled."""
    if folder := config.stash.get(COMPILED, None):
        folder.cleanup()


WAITING = (
    "api/ar/test_headset.py",
    "api/ar/test_in_browser.py",
    "api/ar/test_page.py",
    "api/http/test_request_metrics.py",
    "api/intake/test_canary.py",
    "api/openapi/test_json_body.py",
    "api/reading_room/test_in_browser.py",
    "api/reading_room/test_push_in_browser.py",
    "api/reading_room/viewer/test_pixels.py",
    "api/reading_room/viewer/test_viewer.py",
    "api/readings/test_killed.py",
    "api/server/test_returning_store.py",
    "api/test_parts_down.py",
    "chaos/test_failover.py",
    "chaos/test_partition.py",
    "client/test_distribution.py",
    "client/test_ends.py",
    "client/test_exchange.py",
    "compose/test_services.py",
    "deploy/test_systemd_booted.py",
    "jobs/redis/test_client.py",
    "jobs/redis/test_peers.py",
    "robot/test_arm.py",
    "robot/test_mqtt.py",
    "stack/test_supervisor.py",
    "worker/delivery/test_connections.py",
    "worker/delivery/test_deliver.py",
    "worker/delivery/test_targets.py",
    "worker/notices/test_notify.py",
    "worker/notices/test_web_push.py",
    "worker/notices/test_worker.py",
)
"""Files that wait nearly as long as they compute, or longer: until a validity ends or a page is drawn."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest come first: at the end, one process would wait for the other's."""

    def place(item: pytest.Item) -> int:
        return next((at for at, name in enumerate(LONGEST) if item.nodeid.startswith(name)), len(LONGEST))

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """Let the third of three processes run the files that wait, beside the two that fill the processors.

    A third that computed, too, would make the servers of the tests too slow for some of them.
    """
    from xdist.scheduler import LoadFileScheduling

    waiting = {f"tests/{name}" for name in WAITING}

    class BesideEachOther(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(INTEGRATION):
                return INTEGRATION
            # The steps of the smoke import Keras in processes of their own.
            if nodeid.startswith(WITH_KERAS) and not nodeid.startswith(SMOKE):
                return WITH_KERAS[0]
            return super()._split_scope(nodeid)

        def _left(self, node: Any) -> list[str]:
            """Name the files that this process may take next; the two take what waits last."""
            waits = [name for name in self.workqueue if name in waiting]
            if node.gateway.id == "gw2":
                return waits
            return [name for name in self.workqueue if name not in waiting] or waits

        def _assign_work_unit(self, node: Any) -> None:
            if left := self._left(node):
                self.workqueue.move_to_end(left[0], last=False)
                super()._assign_work_unit(node)
            elif not node.shutting_down:
                node.shutdown()

        def _reschedule(self, node: Any) -> None:
            if self._left(node):
                super()._reschedule(node)
            elif not node.shutting_down:
                node.shutdown()

    return BesideEachOther(config, log) if config.option.dist == "loadfile" else None


@dataclass(frozen=True)
class Servers:
    """The addresses of the session's servers."""

    redis_url: str
    s3_url: str


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = Folder(tmp_path_factory.mktemp("stores"))
    secrets = folder.secrets()
    # Ports that no process of this session uses; two sessions at once try different ones.
    port, flower_port = map(str, free_ports(2))
    addresses = Addresses.from_environment({"PORT": port, "FLOWER_PORT": flower_port})
    os.environ |= {
        "AWS_ACCESS_KEY_ID": secrets.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": secrets.s3_secret_key,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    commands = stores(dict(os.environ), addresses, secrets, folder)
    with ExitStack() as started:
        for command in commands:
            log = folder.fresh_log(command.name).open("wb")
            process = subprocess.Popen(
                command.arguments, env=command.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
            started.callback(process.wait)
            # What they hold is thrown away, and SeaweedFS takes ten seconds to end by itself.
            started.callback(process.kill)
            deadline = time.monotonic() + 180
            while not command.answers(process.pid):
                assert process.poll() is None, Path(log.name).read_text()
                assert time.monotonic() < deadline, f"{command.name} does not answer"
                time.sleep(0.05)
        yield Servers(addresses.redis(secrets.redis_password), addresses.s3)


@pytest.fixture
def settings(servers: Servers) -> Settings:
    """Settings over the real servers: an empty Redis and a bucket of the test's own."""
    Redis.from_url(servers.redis_url).flushall()
    return Settings(
        signing_key=SIGNING_KEY,
        redis_url=servers.redis_url,
        s3_endpoint_url=servers.s3_url,
        s3_bucket=f"test-{uuid4().hex[:12]}",
        public_url="https://osteo.example",
        callback_exceptions=frozenset({"127.0.0.1"}),
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """Make the environment in which a process of the service has these settings."""

    def text(item: str | tuple[object, ...]) -> str:
        return item if isinstance(item, str) else "=".join(map(str, item))

    given = {
        f.metadata["env"]: ",".join(map(text, value)) if isinstance(value, frozenset) else str(value)
        for f in fields(settings)
        if (value := getattr(settings, f.name)) not in (None, frozenset())
    }
    return {**os.environ, **given}


def start_command(settings: Settings, module: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command of an operator with these settings in a process, such as `admin.story`."""
    command = (sys.executable, "-m", module, *arguments)
    return subprocess.run(command, cwd=ROOT, env=environment_of(settings), capture_output=True, text=True)


def run_command(
    settings: Settings, module: str, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run it within this process: it imports for a second, and a test of a command runs many.

    One test of each command uses `start_command`.
    """
    main, said, complained = import_module(module).main, StringIO(), StringIO()
    with (
        patch.dict(os.environ, environment_of(settings) | variables),
        patch.object(sys, "argv", [module, *arguments]),
        redirect_stdout(said),
        redirect_stderr(complained),
    ):
        try:
            status = main()
        except SystemExit as refused:
            status = refused.code
    return subprocess.CompletedProcess((module, *arguments), status, said.getvalue(), complained.getvalue())


@pytest.fixture
def redis(settings: Settings) -> Redis:
    return Redis.from_url(settings.redis_url)


@pytest.fixture
def ledger(settings: Settings) -> Ledger:
    objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
    objects.make_bucket()
    return Ledger(objects, View.connect(settings.redis_url, settings.view_seconds))


class WatchedQueue(JobQueue):
    """The queue, which a test may look into."""

    def waiting(self) -> set[tuple[str, str]]:
        """What waits in any queue: the task's name and its first argument, the id of a job."""
        with self._app.connection_for_read() as connection, connection.channel() as channel:
            messages = [json.loads(m) for name in QUEUES for m in channel.client.lrange(name, 0, -1)]
        return {(m["headers"]["task"], json.loads(b64decode(m["body"]))[0][0]) for m in messages}


@pytest.fixture
def queue(settings: Settings) -> WatchedQueue:
    return WatchedQueue.connect(settings.redis_url)


def a_job(client: str = "clinic", callback_url: str | None = None, **changes: object) -> Job:
    """A job as the API makes it."""
    moment = now()
    values: dict = {
        "id": new_id("job"),
        "client": client,
        "image": ImageFacts(sha256="0" * 64, width=64, height=48, format="PNG", size=5),
        "created_at": moment,
        "queued_at": moment,
        "callback_url": callback_url,
        "delivery": Delivery.PENDING if callback_url else Delivery.NONE,
    }
    return Job(**(values | changes))


def a_study(
    count: int = 3, callback_url: str | None = None, size: int = 5, **changes: object
) -> tuple[Job, list[Job]]:
    """A study and its jobs as the API makes them; `size` is that of each image in bytes."""
    study_id = new_id("study")
    image = ImageFacts(sha256="0" * 64, width=64, height=48, format="PNG", size=size)
    values: dict = {"study": study_id, "image": image, **changes}
    jobs = [a_job(id=member_id(study_id, number), **values) for number in range(count)]
    return study_of(study_id, jobs, callback_url, None), jobs


def only_a_tombstone_is_left(job_id: str, ledger: Ledger) -> bool:
    """Whether the last version is a tombstone, in both places, and nothing else is known of the job."""
    tombstone = ledger.read(job_id)
    assert tombstone.state is State.ERASED
    assert (tombstone.reference, tombstone.metadata, tombstone.callback_url, tombstone.result) == (None,) * 4
    assert ledger.current(job_id) == tombstone
    inverted = job_id.rpartition("_")[2].translate(INVERTED)
    keys = {key for key in ledger.objects.keys("") if job_id in key or inverted in key}
    return {key for key in keys if not key.startswith("due/")} == {
        f"jobs/{job_id}/ledger/{tombstone.version:06d}"
    }


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium for the tests of one module; tests/browser.py makes pages of it."""
    if browsers.MISSING:
        pytest.skip(f"NO PAGE WAS SEEN IN A BROWSER, as these are missing: {', '.join(browsers.MISSING)}")
    with browsers.chromium() as started:
        yield started
