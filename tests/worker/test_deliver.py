import json
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from standardwebhooks import Webhook

from jobs.job import now
from jobs.ledger import Ledger
from jobs.settings import Settings
from jobs.states import Delivery
from jobs.webhook import webhook_secret
from tests.conftest import SIGNING_KEY, a_job
from worker.deliver import SCHEDULE, Courier, deliver

RESULT = {"finding": "fracture", "probability": 0.9}


class Receiver:
    """A real HTTP server that answers as it is told and keeps what it was sent."""

    def __init__(self) -> None:
        self.status = 204
        self.received: list[tuple[dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.received.append(({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook?a=1"
        Thread(target=self._server.serve_forever, daemon=True).start()

    def speak_tls(self, certificate: Path, key: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"https://localhost:{self._server.server_port}/hook?a=1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture
def courier(ledger: Ledger, settings: Settings) -> Courier:
    return Courier(ledger, SIGNING_KEY, settings.public_url, settings.callback_exceptions, seconds=5)


def ended_job(ledger: Ledger, url: str):
    job = a_job(callback_url=url, reference="R 1")
    ledger.accept(job, b"image")
    return ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))


def test_a_callback_is_signed_by_standard_webhooks_and_settles_the_job(ledger, courier, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, courier)
    ((headers, body),) = receiver.received
    event = Webhook(webhook_secret(SIGNING_KEY, "clinic")).verify(body, headers)
    assert event["type"] == "job.succeeded"
    assert (event["data"]["id"], event["data"]["reference"]) == (job.id, "R 1")
    assert ledger.read(job.id).delivery is Delivery.DELIVERED
    assert list(ledger.pending()) == []


def test_another_clients_secret_does_not_verify_it(ledger, courier, receiver):
    deliver(ended_job(ledger, receiver.url).id, courier)
    ((headers, body),) = receiver.received
    with pytest.raises(Exception, match="signature"):
        Webhook(webhook_secret(SIGNING_KEY, "another")).verify(body, headers)


@pytest.mark.parametrize("status", [302, 404, 500])
def test_a_refused_callback_is_due_again_with_the_same_id(ledger, courier, receiver, status):
    job = ended_job(ledger, receiver.url)
    receiver.status = status
    deliver(job.id, courier)
    postponed = ledger.read(job.id)
    assert (postponed.delivery, postponed.delivery_attempts) == (Delivery.PENDING, 1)
    pause = postponed.next_delivery_at - now()
    assert SCHEDULE[0] * 0.5 < pause < SCHEDULE[0] * 1.3
    receiver.status = 200
    deliver(job.id, courier)
    assert len(receiver.received) == 1, "it was called before it was due"
    ledger.append(replace(postponed, version=postponed.version + 1, next_delivery_at=now()))
    deliver(job.id, courier)
    first, second = receiver.received
    assert first[0]["webhook-id"] == second[0]["webhook-id"]
    assert ledger.read(job.id).delivery is Delivery.DELIVERED


def test_a_receiver_that_is_gone_is_not_called_again(ledger, courier, receiver):
    job = ended_job(ledger, receiver.url)
    receiver.status = 410
    deliver(job.id, courier)
    assert ledger.read(job.id).delivery is Delivery.DISABLED
    assert list(ledger.pending()) == []


def test_the_schedule_ends_in_a_failed_delivery_that_the_client_can_see(ledger, courier):
    job = ended_job(ledger, "http://127.0.0.1:1/nobody")
    for attempt in range(len(SCHEDULE) + 1):
        deliver(job.id, courier)
        job = ledger.read(job.id)
        assert job.delivery_attempts == attempt + 1
        if job.delivery is Delivery.PENDING:
            job = ledger.append(replace(job, version=job.version + 1, next_delivery_at=now()))
    assert job.delivery is Delivery.FAILED


def test_a_private_address_is_never_called_in_production(ledger, courier, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, replace(courier, exceptions=frozenset()))
    assert receiver.received == []
    assert ledger.read(job.id).delivery is Delivery.PENDING


def test_eight_messages_for_one_job_make_one_call(ledger, courier, receiver):
    job = ended_job(ledger, receiver.url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: deliver(job.id, courier), range(8)))
    assert len(receiver.received) == 1


def test_a_callback_holds_nothing_that_the_client_did_not_send(ledger, courier, receiver):
    deliver(ended_job(ledger, receiver.url).id, courier)
    event = json.loads(receiver.received[0][1])
    assert "callback_url" not in event["data"]
    assert "client" not in event["data"]


def test_a_receiver_that_trickles_its_answer_is_cut_off(ledger, courier):
    with socket.create_server(("127.0.0.1", 0)) as server:
        job = ended_job(ledger, f"http://127.0.0.1:{server.getsockname()[1]}/")
        Thread(target=trickle, args=[server], daemon=True).start()
        deliver(job.id, replace(courier, seconds=0.5))
    after = ledger.read(job.id)
    assert (after.delivery, after.delivery_attempts) == (Delivery.PENDING, 1)


def trickle(server: socket.socket) -> None:
    """Say `100 Continue` for as long as the other side listens: each keeps a plain time-out from ending."""
    connection, _ = server.accept()
    with connection, suppress(OSError):
        while True:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            time.sleep(0.05)


def test_an_attempt_is_counted_before_the_call(ledger, courier, monkeypatch):
    job = ended_job(ledger, "http://127.0.0.1:1/nobody")
    seen = []
    monkeypatch.setattr("worker.deliver._call", lambda begun, _: seen.append(ledger.read(job.id)))
    deliver(job.id, courier)
    assert [(during.delivery, during.delivery_attempts) for during in seen] == [(Delivery.PENDING, 1)]
    assert seen[0].next_delivery_at > now()


@pytest.mark.skipif(
    shutil.which("openssl") is None, reason="THERE IS NO openssl: NO CALLBACK OVER TLS WAS TRIED"
)
@pytest.mark.parametrize(
    ("name", "delivery"), [("localhost", Delivery.DELIVERED), ("other", Delivery.PENDING)]
)
def test_a_callback_over_tls_goes_only_to_whom_the_name_belongs(
    ledger, courier, receiver, tmp_path, monkeypatch, name, delivery
):
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    request = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        f"/CN={name}",
    ]
    files = ["-addext", f"subjectAltName=DNS:{name}", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request, *files], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    receiver.speak_tls(certificate, key)
    job = ended_job(ledger, receiver.url)
    deliver(job.id, replace(courier, exceptions=frozenset({"localhost"})))
    assert ledger.read(job.id).delivery is delivery
    assert len(receiver.received) == (delivery is Delivery.DELIVERED)
    if receiver.received:
        assert receiver.received[0][0]["host"] == receiver.url.split("/")[2]
