"""Receives callbacks as a client would: an HTTP server that verifies every signature."""

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any, Self

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from stack.addresses import HOST


@dataclass(frozen=True)
class ReceivedCallback:
    """One callback whose signature was valid."""

    webhook_id: str
    type: str
    job: dict[str, Any]


class Receiver:
    """Listens on a free port of `host` while its context is open, and keeps what arrives.

    A callback with a valid signature is answered 204, any other 401 and its reason kept in `rejected`.
    """

    def __init__(self, secret: str, host: str = HOST) -> None:
        self._host = host
        self.callbacks: list[ReceivedCallback] = []
        self.rejected: list[str] = []
        self._by_job: dict[str, list[ReceivedCallback]] = {}
        self._webhook = Webhook(secret)
        self._arrived = Condition()

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            # Its connections stay open between callbacks.
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                taken = receiver._take(body, dict(self.headers))
                self.send_response_only(204 if taken else 401)
                if not taken:
                    self.send_header("Content-Length", "0")
                self.end_headers()

        self._server = ThreadingHTTPServer((self._host, 0), Handler)
        Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """Where callbacks go."""
        return f"http://{self._host}:{self._server.server_port}/callback"

    def of(self, job_id: str) -> list[ReceivedCallback]:
        """List the callbacks about one job so far, in the order of their arrival."""
        return self._by_job.get(job_id, [])

    def wait_for(self, job_id: str, seconds: float) -> ReceivedCallback:
        """Wait for the first callback about this job. Raises TimeoutError."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: self.of(job_id), seconds):
                raise TimeoutError(f"no valid callback about {job_id}; rejected: {self.rejected}")
        return self.of(job_id)[0]

    def _take(self, body: bytes, headers: dict[str, str]) -> bool:
        with self._arrived:
            try:
                self._webhook.verify(body, headers)
            except (WebhookVerificationError, ValueError) as error:
                self.rejected.append(str(error))
                return False
            document = json.loads(body)
            identity = {name.lower(): value for name, value in headers.items()}["webhook-id"]
            callback = ReceivedCallback(identity, document["type"], document["data"])
            self.callbacks.append(callback)
            self._by_job.setdefault(callback.job.get("id", ""), []).append(callback)
            self._arrived.notify_all()
            return True
