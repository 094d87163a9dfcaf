"""A real OpenID Connect provider in a process of its own, behind a relay that can change its answers."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

import urllib3

from stack.addresses import free_ports

Change = Callable[[int, dict, bytes], tuple[int, dict, bytes]]


@dataclass
class RealProvider:
    """oidc-provider-mock, at `inside`; what the service knows is the relay, at `issuer`."""

    options: tuple[str, ...] = ()
    inside: str = ""
    issuer: str = ""
    changes: dict[str, Change] = field(default_factory=dict)
    """By path: what the relay makes of status, headers and body of an answer."""
    asked: list[tuple[str, dict[str, list[str]]]] = field(default_factory=list)
    """Path and form of each request through the relay."""
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        """Start the process, with new keys and without people."""
        port = self.inside.rpartition(":")[2]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "oidc_provider_mock", "-p", port, "-n", "true", *self.options],
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 180
        while not self._answers():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()

    def restart(self, *options: str) -> None:
        self.stop()
        self.options = options
        self.start()

    def knows(self, sub: str, **claims: object) -> None:
        """Let the provider say these claims of a person."""
        answer = urllib3.request("PUT", f"{self.inside}/users/{sub}", json=claims)
        assert answer.status == 204, answer.data

    def sign_in(self, address: str, sub: str) -> str:
        """Sign a person in where the service leads to. Returns where the provider leads back to."""
        answer = urllib3.request(
            "POST",
            address,
            body=urlencode({"sub": sub}),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
            redirect=False,
            retries=False,
        )
        assert answer.status == 302, answer.data
        return answer.headers["Location"]

    def change(self, path: str, **members: object) -> None:
        """Let the relay set these members of the JSON at a path."""
        self.changes[path] = lambda status, headers, body: (
            status,
            headers,
            json.dumps(json.loads(body) | members).encode(),
        )

    def _answers(self) -> bool:
        try:
            return urllib3.request("GET", f"{self.inside}/jwks", timeout=2, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False


@contextmanager
def real_provider(host: str = "127.0.0.1") -> Iterator[RealProvider]:
    """Run a provider and its relay, to which browsers and the service come by this name of loopback."""
    port, relay_port = free_ports(2)
    provider = RealProvider(inside=f"http://127.0.0.1:{port}", issuer=f"http://{host}:{relay_port}")
    server = ThreadingHTTPServer(("127.0.0.1", relay_port), _relay_to(provider))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        provider.start()
        yield provider
    finally:
        provider.stop()
        server.shutdown()
        server.server_close()
        thread.join()


def _relay_to(provider: RealProvider) -> type[BaseHTTPRequestHandler]:
    class Relay(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path = urlsplit(self.path).path
            provider.asked.append((path, parse_qs(body.decode())))
            given = {name: value for name, value in self.headers.items() if name != "Connection"}
            answer = urllib3.request(
                self.command,
                provider.inside + self.path,
                body=body or None,
                headers=given,
                redirect=False,
                retries=False,
            )
            status, headers, changed = answer.status, dict(answer.headers), answer.data
            if path in provider.changes:
                status, headers, changed = provider.changes[path](status, headers, changed)
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in (
                    "content-length",
                    "connection",
                    "transfer-encoding",
                    "server",
                    "date",
                ):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(changed)))
            self.end_headers()
            self.wfile.write(changed)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            """Keep the test's output free of requests."""

    return Relay
