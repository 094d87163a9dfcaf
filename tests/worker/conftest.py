"""Gives the tests of the workers a receiver of callbacks, and the context of a delivery."""

import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from math import inf
from pathlib import Path
from threading import Thread

import pytest
from redis import Redis

from jobs.redis.agenda import AGENDA
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.receivers import Receivers
from jobs.store.webhook_settings import Webhooks
from tests.conftest import SIGNING_KEY
from tests.proxies import make_certificate
from worker.delivery.deliver import DeliveryContext, with_call_slot
from worker.delivery.deliver import deliver as deliver_with_slot
from worker.delivery.probe import probe as probe_with_slot
from worker.sweeper.sweep import Sweeper, sweep


def speak_tls(server: ThreadingHTTPServer, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a server a certificate of this name, which workers trust. It needs openssl."""
    make_certificate(folder, name)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setattr("worker.delivery.call._tls", ssl.create_default_context)  # Read anew.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)


class Receiver:
    """A real HTTP server that gives the answers of the test and records its requests."""

    def __init__(self) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.meanwhile: Callable[[], object] = lambda: None
        """Called during a request."""
        self.received: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                outer.meanwhile()
                self.send_response(outer.status)
                for name, value in outer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "2000")
                self.end_headers()
                self.wfile.write(b"x" * 2000)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?a=1"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def speak_tls(self, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        speak_tls(self._server, name, folder, monkeypatch)
        self.url = f"https://localhost:{self._server.server_port}/hook?a=1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


PROCESS = "delivery:host:1:abcd"


@pytest.fixture
def context(ledger: Ledger, queue: JobQueue, settings: Settings) -> DeliveryContext:
    ledger.view.heartbeats.beat(PROCESS)
    return DeliveryContext(
        PROCESS,
        ledger,
        queue,
        Webhooks(ledger.records, SIGNING_KEY),
        Receivers(ledger.records),
        settings.public_url,
        settings.callback_exceptions,
        seconds=5,
        target_seconds=settings.target_seconds,
    )


def deliver(job_id: str, context: DeliveryContext) -> None:
    """Do what a delivery worker does for a job, once its client has call slots."""
    context.queue.feed_deliveries("clinic")
    with_call_slot(deliver_with_slot, context, job_id)


def send_probe(probe_id: str, context: DeliveryContext) -> None:
    """Do what a delivery worker does for a test event."""
    context.queue.probe("clinic", probe_id)
    with_call_slot(probe_with_slot, context, probe_id)


def after_a_while(sweeper: Sweeper, redis: Redis) -> None:
    """Make one round of the sweeper in which every job is due."""
    for job_id, at in redis.zrange(AGENDA, 0, -1, withscores=True):
        if at < inf:
            redis.zadd(AGENDA, {job_id: 0})
    sweep(sweeper)
