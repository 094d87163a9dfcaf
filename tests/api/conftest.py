"""Provides an API over HTTP: gunicorn on a free port, over the stores of the session, without workers."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import urllib3
from redis import Redis

from api.app import Collaborators
from api.identity.key_store import Keys
from jobs.redis.changes import Changes
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.records import Records
from jobs.store.stores import Stores
from stack.addresses import free_ports
from tests.conftest import SIGNING_KEY, Servers, environment_of

MAX_BYTES = 400_000
ROOT = Path(__file__).parents[2]
RESULT = {
    "finding": "fracture",
    "probability": 0.9,
    "regions": [{"box": [1, 2, 3, 4], "score": 0.8}],
    "model": {"name": "osteo-test", "version": "1", "sha256": "f" * 64},
    "image": {"sha256": "0" * 64, "width": 128, "height": 96, "format": "PNG"},
}


def collaborators(settings: Settings, ledger: Ledger, queue: JobQueue, keys: Keys) -> Collaborators:
    """Make the collaborators of an application over these parts."""
    stores = Stores(ledger.objects, ledger.view.redis, ledger, queue, settings.signing_key)
    signer = Objects.connect(settings.s3_public_url or settings.s3_endpoint_url, settings.s3_bucket)
    return Collaborators(stores, keys, Changes.connect(settings.redis_url), signer)


@dataclass
class Api:
    """The API for a client, and its stores for an operator."""

    url: str
    key: str
    objects: Objects
    redis: Redis
    log: Path

    @property
    def ledger(self) -> Ledger:
        """The ledger of the API."""
        return Ledger(self.objects, View(self.redis, 60))

    @property
    def records(self) -> Records:
        """The records of the API."""
        return Records(self.objects, self.redis)

    def request(
        self,
        method: str,
        path: str,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> urllib3.BaseHTTPResponse:
        given = {"Authorization": f"Bearer {self.key if key is None else key}"} | (headers or {})
        return urllib3.request(
            method, self.url + path, headers=given, timeout=120, retries=False, redirect=False, **kwargs
        )

    def logged(self, text: str) -> str:
        """Wait until `text` is in the log, and return the log. gunicorn writes it after the answer."""
        deadline = time.monotonic() + 120
        while text not in (log := self.log.read_text()):
            assert time.monotonic() < deadline, f"not in the log: {text}"
            time.sleep(0.02)
        return log

    def accessed(self, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        """Return the line of the access log for the request of this answer."""
        name = answer.headers["X-Request-ID"]
        lines = map(json.loads, self.logged(f'"request": "{name}", "address"').splitlines()[::-1])
        return next(line for line in lines if line.get("request") == name and "address" in line)

    def submit(self, data: bytes, name: str = "x.png", **fields: str) -> urllib3.BaseHTTPResponse:
        return self.request("POST", "/v1/jobs", fields={"image": (name, data), **fields})

    def traces(self) -> set[str]:
        """Return the keys of all that is stored or queued, without counters and last uses of API keys."""
        keys = [*self.objects.keys(""), *(key.decode() for key in self.redis.scan_iter())]
        return {key for key in keys if not key.startswith(("quota", "check", "keys-used"))}


@contextmanager
def serving(
    servers: Servers,
    folder: Path,
    *arguments: str,
    within: Sequence[str] = (),
    processes: int = 1,
    **changed: Any,
) -> Iterator[tuple[Api, "subprocess.Popen[bytes]"]]:
    """Run an API, with more `arguments` for gunicorn and changed settings; gives it and its process.

    `within` is a command that becomes the one that follows it. Each of the `processes` imports the API for
    seconds; the one that most tests share has as many as in service.
    """
    settings = replace(
        Settings(
            signing_key=SIGNING_KEY,
            redis_url=servers.redis_url,
            s3_endpoint_url=servers.s3_url,
            s3_bucket="test-api",
            max_bytes=MAX_BYTES,
            max_study_bytes=10 * MAX_BYTES,
            max_pixels=4_000_000,
            public_url="https://osteo.example",
            client_time_zones=frozenset({("harbour", ZoneInfo("Asia/Tokyo"))}),
        ),
        **changed,
    )
    objects = Objects.connect(servers.s3_url, "test-api")
    objects.make_bucket()
    (port,) = free_ports(1)
    log = (folder / "api.log").open("wb")
    process = subprocess.Popen(
        [
            *within,
            *(sys.executable, "-m", "gunicorn", "--config", "api/gunicorn.conf.py"),
            *("--bind", f"127.0.0.1:{port}", "--workers", str(processes)),
            *arguments,
        ],
        cwd=ROOT,
        env=environment_of(settings),
        stdout=log,
        stderr=log,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 180
        while not _answers(f"{url}/health/ready"):
            assert process.poll() is None, Path(log.name).read_text()
            assert time.monotonic() < deadline, "the API does not answer"
            time.sleep(0.1)
        redis = Redis.from_url(servers.redis_url)
        key = Keys(Records(objects, redis)).create("clinic")
        yield Api(url, key, objects, redis, Path(log.name)), process
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="session")
def served(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with serving(servers, tmp_path_factory.mktemp("api"), processes=2) as (api, _):
        yield api


OF_JOBS = (
    *("audit/", "clients/", "due/", "events/", "jobs/", "orders/", "pending/", "readings/"),
    *("studies/", "unseen/", "uploads/"),
)
"""What the keys of jobs and uploads, and of all that is kept of them, begin with."""


@pytest.fixture(scope="module")
def emptied(served: Api) -> Iterator[None]:
    """Remove what the tests of a module have left. Else each list of the bucket would list all modules'."""
    yield
    bucket, client = served.objects._bucket, served.objects._client
    left = [{"Key": key} for beginning in OF_JOBS for key in served.objects.keys(beginning)]
    for at in range(0, len(left), 1000):
        client.delete_objects(Bucket=bucket, Delete={"Objects": left[at : at + 1000], "Quiet": True})


@pytest.fixture
def api(served: Api, emptied: None) -> Api:
    served.redis.flushall()
    return served


def problem_of(response: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """Return the problem document of an answer, and check its form."""
    assert response.headers["Content-Type"] == "application/problem+json", response.data
    document = json.loads(response.data)
    assert document["status"] == response.status
    assert document["type"].startswith("/problems/")
    assert len(document["detail"]) > 20
    return document


def _answers(url: str) -> bool:
    try:
        return urllib3.request("GET", url, timeout=2, retries=False).status == 200
    except urllib3.exceptions.HTTPError:
        return False
