"""The whole service as `python -m stack up` runs it: one for the session, as loading the model is slow."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import urllib3

from stack.addresses import free_ports
from stack.parent import end_with_parent
from stack.part import ROOT
from stack.parts import SHADOW
from stack.receiver import Receiver
from tests.conftest import await_that

SECONDS = 180
"""After this long, what is waited for does not come any more."""


@dataclass
class Stack:
    """A running stack, and its API as the client `development` sees it."""

    process: "subprocess.Popen[str]"
    folder: Path
    told: str = ""
    """What it has printed, as far as a test has read it."""

    def read(self) -> str:
        """Wait until it has printed more, and return all that it has printed."""
        assert self.process.stdout is not None
        self.told += os.read(self.process.stdout.fileno(), 65_536).decode()
        return self.told

    def metrics(self, role: str) -> str:
        """What a role says of itself: the API at its own port."""
        if role == "api":
            return self.request("GET", "/metrics").data.decode()
        url = f"http://{self.ready['metrics'][role]}/metrics"
        return urllib3.request("GET", url, timeout=60, retries=False).data.decode()

    @property
    def ready(self) -> dict[str, Any]:
        """What ready.json says now."""
        document: dict[str, Any] = json.loads((self.folder / "ready.json").read_text())
        return document

    @property
    def webhook_secret(self) -> str:
        """What this client's callbacks are signed with."""
        return str(json.loads((self.folder / "secrets.json").read_text())["webhook_secret"])

    @property
    def radiograph(self) -> bytes:
        """A synthetic radiograph as a PNG."""
        return (self.folder / "synthetic.png").read_bytes()

    def request(self, method: str, path: str, **kwargs: Any) -> urllib3.BaseHTTPResponse:
        """Ask the API; `path` may be a whole URL out of a job's links."""
        url = path if path.startswith("http") else self.ready["api"] + path
        headers = {"Authorization": f"Bearer {self.ready['api_key']}", **kwargs.pop("headers", {})}
        return urllib3.request(method, url, headers=headers, timeout=60, retries=False, **kwargs)

    def submit(self, image: bytes | None = None, **fields: str) -> dict[str, Any]:
        """Submit an image (by default the synthetic radiograph); the job as accepted."""
        files = {"image": ("image", image or self.radiograph)}
        response = self.request("POST", "/v1/jobs", fields={**files, **fields})
        assert response.status == 202, response.data
        job: dict[str, Any] = response.json()
        return job

    def job(self, job_id: str) -> dict[str, Any]:
        """The job as it is now."""
        response = self.request("GET", f"/v1/jobs/{job_id}")
        assert response.status == 200, response.data
        job: dict[str, Any] = response.json()
        return job

    def settled(self, job_id: str) -> dict[str, Any]:
        """The job once it has ended and its callback too. Raises TimeoutError."""
        deadline = time.monotonic() + SECONDS
        while (job := self.job(job_id))["state"] in ("queued", "running") or job["delivery"] == "pending":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job_id} is {job['state']}, its delivery {job['delivery']}")
            time.sleep(0.1)
        return job

    def await_unused_code(self) -> None:
        """Wait for the next one-time code of its reader: an earlier test may have used the present one."""
        window = _code_window()
        await_that(lambda: _code_window() > window)

    def processes(self) -> dict[int, str]:
        """Every process of this stack: id and command line."""
        return processes_of(self.folder)

    def stop(self, number: signal.Signals) -> int:
        """Send a signal to the stack and return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


def _code_window() -> float:
    """The number of the present one-time code: each is for 30 seconds."""
    return time.time() // 30


def launch(folder: Path, **environment: str) -> Stack:
    """Start a stack in `folder` on free ports, unless `environment` names them; it is not ready yet."""
    api_port, flower_port = free_ports(2)
    settings = {"OSTEO_VAR": str(folder), "PORT": str(api_port), "FLOWER_PORT": str(flower_port)}
    process = subprocess.Popen(
        (sys.executable, "-m", "stack", "up"),
        cwd=ROOT,
        env={**os.environ, **settings, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A test run that is killed leaves no stack behind.
        preexec_fn=end_with_parent(),
    )
    return Stack(process, folder)


def await_ready(stack: Stack) -> None:
    """Return when the stack has said `ready`; fail with what it says instead."""
    ended = os.pidfd_open(stack.process.pid)
    while not (stack.folder / "ready.json").exists():
        if select.select([ended], [], [], 0.2)[0]:
            pytest.fail(f"the stack did not start:\n{''.join(stack.process.communicate())}")
    os.close(ended)


@contextmanager
def running(folder: Path, **environment: str) -> Iterator[Stack]:
    """A stack that is ready; it is stopped at the end, unless that has happened."""
    stack = launch(folder, **environment)
    try:
        await_ready(stack)
        yield stack
    finally:
        stack.process.terminate()
        stack.process.communicate()


def processes_of(folder: Path) -> dict[int, str]:
    """Every process of a stack in `folder` or below it, found by the lock that all of them inherit."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = [os.readlink(descriptor) for descriptor in (process / "fd").iterdir()]
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # It has ended in the meantime, or belongs to another user.
        if any(file.startswith(f"{folder}/") and "stack.lock" in file for file in held):
            found[int(process.name)] = command
    return found


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Runs until the last test of test_stack.py, which ends it and starts it again. No later file has it."""
    with running(tmp_path_factory.mktemp("stack"), **{SHADOW: "1"}) as stack:
        yield stack


@pytest.fixture
def receiver(stack: Stack) -> Iterator[Receiver]:
    """A receiver of this test's own for the client's callbacks."""
    with Receiver(stack.webhook_secret) as receiver:
        yield receiver
