"""Both clients over a real API, and a proxy before it that loses answers and turns requests away."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from time import monotonic
from typing import Any

import pytest
import urllib3

from jobs.record.job import Job, now
from jobs.store.ledger import Ledger
from osteo_client import AsyncClient, AsyncJobHandle, Client
from tests import pictures
from tests.api.conftest import RESULT, Api, api, emptied, served

__all__ = ["RESULT", "api", "emptied", "served"]

PNG = pictures.encoded(pictures.gray())


class Awaited:
    """An AsyncClient, or a handle of one, that is called as the other client is: each test tries both."""

    def __init__(self, inner: Any, run: Callable[[Any], Any]) -> None:
        self._inner = inner
        self._run = run

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        return self._called(attribute) if callable(attribute) else attribute

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            made = method(*args, **kwargs)
            if hasattr(made, "__aiter__"):
                return iter([self._wrapped(one) for one in self._run(_all(made))])
            return self._wrapped(self._run(made))

        return call

    def _wrapped(self, value: Any) -> Any:
        return Awaited(value, self._run) if isinstance(value, AsyncJobHandle) else value


async def _all(made: Any) -> list[Any]:
    return [one async for one in made]


@pytest.fixture(params=["Client", "AsyncClient"])
def connect(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Makes clients of either kind."""
    if request.param == "Client":
        yield Client
        return
    with asyncio.Runner() as runner:
        yield lambda *args, **kwargs: Awaited(AsyncClient(*args, **kwargs), runner.run)


@pytest.fixture
def client(connect: Callable[..., Any], api: Api) -> Iterator[Any]:
    client = connect(api.url, api.key)
    yield client
    client.close()


@dataclass
class Worker:
    """Ends jobs as a worker does."""

    ledger: Ledger

    def succeed(self, job_id: str, **changes: object) -> None:
        running = self.ledger.append(self.ledger.read(job_id).started("w", now()))
        self.ledger.append(running.succeeded(RESULT | changes, now(), bytes([0, 0, 200, 0])))

    def fail(self, job_id: str) -> None:
        running = self.ledger.append(self.ledger.read(job_id).started("w", now()))
        self.ledger.append(running.failed("not-a-radiograph", "It is a photograph.", now()))

    def job(self, job_id: str) -> Job:
        return self.ledger.read(job_id)


@pytest.fixture
def worker(api: Api, servers: Any) -> Worker:
    return Worker(api.ledger)


@dataclass(frozen=True)
class Seen:
    """A request as it came to the proxy."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class Door:
    """A proxy before the API. `treat` returns the answer to the n-th request; None lets it through.

    A status and headers are answered in place of the API; "lose" lets a request through and loses its answer.
    """

    def __init__(self, url: str) -> None:
        self.seen: list[Seen] = []
        self.arrived = Condition()
        self.treat: Callable[[int], tuple[int, dict[str, str], bytes] | str | None] = lambda n: None
        door = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with door.arrived:
                    door.seen.append(Seen(self.command, self.path, headers, body, monotonic()))
                    number = len(door.seen)
                    door.arrived.notify_all()
                fate = door.treat(number)
                if isinstance(fate, tuple):
                    return self.answer(*fate)
                passed = urllib3.request(
                    self.command, url + self.path, headers=headers, body=body, retries=False, timeout=60
                )
                if fate == "lose":
                    self.close_connection = True
                    return None
                return self.answer(passed.status, dict(passed.headers), passed.data)

            def answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
                self.send_response_only(status)
                for name, value in headers.items():
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_DELETE = handle_any

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def await_requests(self, count: int, seconds: float) -> bool:
        """Whether so many requests have come, after at most so many seconds."""
        with self.arrived:
            return self.arrived.wait_for(lambda: len(self.seen) >= count, seconds)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def door(api: Api) -> Iterator[Door]:
    door = Door(api.url)
    yield door
    door.close()
