"""docs/update.md: from the release before to this version and back, part by part, with jobs under way."""

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import urllib3
from redis import Redis

from api.identity.key_store import Keys
from jobs.callbacks.signing import webhook_secret
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.redis.view import View
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import records_key
from jobs.store.objects import Objects
from jobs.store.records import Records
from stack.addresses import free_ports
from stack.part import ROOT
from stack.receiver import Receiver
from tests import pictures
from tests.conftest import SIGNING_KEY, Servers

RELEASED = "03fc3477e934107cfcc2b8b93d0cf669fb4b37ed"  # pragma: allowlist secret
"""The commit of 0.3.0, the release before this version (CHANGELOG.md)."""
PARTS = {
    "sweeper": ("worker", "sweeper"),
    "delivery": ("worker", "delivery"),
    "inference": ("worker", "inference"),
    "api": ("gunicorn", "--config", "api/gunicorn.conf.py"),
}
"""What is replaced, in this order: what reads records goes before what writes new fields into them."""
SECONDS = 240
IMAGE = pictures.encoded(pictures.gray())


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree of the release before."""
    command = ["git", "archive", RELEASED, "jobs", "model", "worker", "api"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True)
    if ran.returncode:
        pytest.skip(f"NO UPDATE WAS TRIED: this checkout has no commit {RELEASED[:7]} (0.3.0)")
    folder = tmp_path_factory.mktemp("released")
    with tarfile.open(fileobj=io.BytesIO(ran.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@dataclass
class Service:
    """The parts of the service, each of one version, and its client."""

    environment: dict[str, str]
    folder: Path
    key: str
    port: int
    receiver: Receiver
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    jobs: list[str] = field(default_factory=list)

    def replace(self, part: str, tree: Path) -> None:
        """Let a part end as an operator does, and start it from another tree."""
        self.stop(part)
        bind = ("--bind", f"127.0.0.1:{self.port}") if part == "api" else ()
        with (self.folder / f"{part}.log").open("ab") as log:
            self.running[part] = subprocess.Popen(
                [sys.executable, "-m", *PARTS[part], *bind],
                cwd=tree,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def stop(self, part: str) -> None:
        if process := self.running.pop(part, None):
            process.terminate()
            process.wait(SECONDS)

    def request(self, method: str, path: str, **given: Any) -> urllib3.BaseHTTPResponse:
        """Ask the API; one that is being replaced is asked again, as clients do."""
        headers = {"Authorization": f"Bearer {self.key}", **given.pop("headers", {})}
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                url = f"http://127.0.0.1:{self.port}{path}"
                answer = urllib3.request(method, url, headers=headers, timeout=60, retries=False, **given)
                if answer.status != 503:
                    return answer
            except urllib3.exceptions.HTTPError:
                pass
            assert time.monotonic() < deadline, "the API does not answer"
            time.sleep(0.2)

    def submit(self, count: int = 1, **fields: str) -> list[str]:
        """Submit radiographs, each with a callback and a key that makes a repetition the same job."""
        made: list[str] = []
        for _ in range(count):
            key = {"Idempotency-Key": str(uuid4())}
            form = {"image": ("x.png", IMAGE), "callback_url": self.receiver.url, **fields}
            answer = self.request("POST", "/v1/jobs", fields=form, headers=key)
            assert answer.status == 202, answer.data
            made.append(answer.json()["id"])
        self.jobs += made
        return made

    def job(self, job_id: str) -> dict[str, Any]:
        document: dict[str, Any] = self.request("GET", f"/v1/jobs/{job_id}").json()
        return document

    def settle(self) -> None:
        """Return once every job has ended well and its callback has arrived."""
        for job_id in self.jobs:
            awaited(lambda job_id=job_id: self.job(job_id).get("delivery") == "delivered")
            assert self.job(job_id)["state"] == "succeeded"


def awaited(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.2)


@pytest.fixture
def ledger(servers: Servers) -> Ledger:
    Redis.from_url(servers.redis_url).flushall()
    objects = Objects.connect(servers.s3_url, f"test-{uuid4().hex[:12]}")
    objects.make_bucket()
    return Ledger(objects, View.connect(servers.redis_url, 3600))


@pytest.fixture
def service(servers: Servers, ledger: Ledger, tmp_path: Path) -> Iterator[Service]:
    environment = os.environ | {
        "OSTEO_SIGNING_KEY": SIGNING_KEY,
        "REDIS_URL": servers.redis_url,
        "S3_ENDPOINT_URL": servers.s3_url,
        "S3_BUCKET": ledger.objects._bucket,
        "OSTEO_CALLBACK_EXCEPTIONS": "127.0.0.1",
    }
    with ExitStack() as ends, Receiver(webhook_secret(SIGNING_KEY, "clinic", 0)) as receiver:
        records = Records(ledger.objects, ledger.view.redis)
        key = Keys(records).create("clinic")
        Policies(records).put("clinic", ReadingPolicy(groups=("night",)))
        made = Service(environment, tmp_path, key, free_ports(1)[0], receiver)
        for part in PARTS:
            ends.callback(made.stop, part)
        yield made


def records_of(ledger: Ledger, job_id: str) -> list[dict[str, Any]]:
    return [json.loads(ledger.objects.get(key)) for key in ledger.objects.keys(records_key(job_id))]


def test_an_update_part_by_part_loses_no_job(service: Service, released: Path):
    update(service, released)


def update(service: Service, released: Path) -> None:
    """Start the release before, and replace each part by this version's while jobs are under way."""
    for part in reversed(PARTS):
        service.replace(part, released)
    service.submit(4)
    for part in PARTS:
        service.submit(2)
        service.replace(part, ROOT)
    service.settle()
    assert_called_once(service)


def assert_called_once(service: Service) -> None:
    """A worker that is stopped between a call and its record sends the same callback again."""
    assert {len({c.webhook_id for c in service.receiver.of(job)}) for job in service.jobs} == {1}


@pytest.mark.long
def test_a_roll_back_part_by_part_loses_no_job(service: Service, ledger: Ledger, released: Path):
    update(service, released)
    # Accepted by this version, and ended by the one before.
    service.stop("inference")
    (newer,) = service.submit(read="requested", training_use="allowed")
    (reading,) = service.request("GET", f"/v1/jobs/{newer}/readings").json()["readings"]
    for part in reversed(PARTS):
        service.submit(2)
        service.replace(part, released)
    service.settle()
    assert_called_once(service)
    kept = records_of(ledger, newer)[-1]
    assert (kept["training_use"], kept["reading"]["wish"]) == ("allowed", "requested")

    # What this version alone knows is there again after the next update.
    for part in [part for part in PARTS if part != "inference"]:
        service.replace(part, ROOT)
    shown = service.request("GET", f"/v1/readings/{reading['id']}").json()
    assert (shown["state"], shown["job"]) == ("requested", newer)
