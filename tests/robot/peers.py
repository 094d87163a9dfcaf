"""The peers of `python -m robot`: a broker, the service's clock, the process itself, and consumers."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Condition, Thread
from typing import Any
from urllib.error import HTTPError

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from stack.addresses import free_ports
from stack.part import ROOT
from tests.conftest import await_that
from tests.robot.events import CLIENT, SECRET, signed_event

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_mosquitto = pytest.mark.skipif(
    not MOSQUITTO, reason="NO TARGET WAS SENT BY MQTT. On Debian: apt-get install mosquitto"
)
_MOST_S = 60


class Broker:
    """A mosquitto of the test's own."""

    def __init__(self, folder: Path, *lines: str, scheme: str = "mqtt") -> None:
        (self.port,) = free_ports(1)
        self.url = f"{scheme}://localhost:{self.port}"
        self.log = folder / "mosquitto.log"
        self._config = folder / "mosquitto.conf"
        usual = ("allow_anonymous true",) if not lines else ()
        account = ("user root",) if os.geteuid() == 0 else ()
        self._config.write_text(
            "\n".join([*account, f"listener {self.port} localhost", *usual, *lines, "log_type all", ""])
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO
        with self.log.open("ab") as out:
            self._process = subprocess.Popen([MOSQUITTO, "-c", self._config], stdout=out, stderr=out)
        await_that(self._listens, self.log.read_text)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("localhost", self.port)) == 0


class Service:
    """An HTTP server that tells its time as the service does: by `Date`, `ahead_s` ahead of ours."""

    def __init__(self) -> None:
        self.ahead_s = 0.0
        self.headers: dict[str, str] = {}
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == "/health/live"
                self.send_response_only(outer.status)
                told = formatdate(int(time.time() + outer.ahead_s), usegmt=True)
                for name, value in {"Date": told, "Content-Length": "0", **outer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@dataclass
class Robot:
    """A process `python -m robot`."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    def tell(self, event: dict[str, Any], **how: Any) -> int:
        """Send a signed callback, and return the status of its answer."""
        return self.call(*signed_event(event, **how))

    def call(self, body: bytes, headers: dict[str, str]) -> int:
        request = urllib.request.Request(f"{self.url}/callback", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=_MOST_S) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code

    def metric(self, line: str) -> float:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=_MOST_S) as answer:
            for told in answer.read().decode().splitlines():
                if told.startswith(f"{line} "):
                    return float(told.rpartition(" ")[2])
        raise AssertionError(line)

    def logged(self, words: str) -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if words in line["message"]]


@contextmanager
def robot_process(
    folder: Path,
    service: str,
    *options: str,
    environment: dict[str, str] | None = None,
    python: str | Path = sys.executable,
) -> Iterator[Robot]:
    """Run the process until the test ends. It listens once this begins."""
    (port,) = free_ports(1)
    log = folder / "robot.log"
    command = [str(python), "-m", "robot", "--client", CLIENT, "--service", service]
    command += ["--listen", f"127.0.0.1:{port}", *options]
    variables = {**os.environ, "OSTEO_WEBHOOK_SECRET": SECRET, **(environment or {})}
    with log.open("ab") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=out, stderr=out)
    robot = Robot(process, f"http://127.0.0.1:{port}", log)
    try:
        await_that(lambda: robot.logged("receiving at") or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield robot
    finally:
        process.kill()
        process.wait()


@dataclass
class Consumer:
    """An MQTT 5 client of another hand: what it is given, with its properties. Its session may persist."""

    broker: Broker
    name: str = "consumer"
    topic: str = f"osteo/v1/{CLIENT}/#"
    session_s: int = 0
    before: Callable[[Client], object] = lambda _: None
    """What is set before it connects: a password, TLS."""
    messages: list[MQTTMessage] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __enter__(self) -> "Consumer":
        self._subscribed, self._changed = False, Condition()
        version = MQTTProtocolVersion.MQTTv5
        self._mqtt = Client(CallbackAPIVersion.VERSION2, self.name, protocol=version)
        self._mqtt.on_connect = lambda *_: self._mqtt.subscribe(self.topic, qos=1)
        self._mqtt.on_subscribe = self._on_subscribe
        self._mqtt.on_message = self._on_message
        self.before(self._mqtt)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = self.session_s
        clean = self.session_s == 0
        self._mqtt.connect("localhost", self.broker.port, clean_start=clean, properties=properties)
        self._mqtt.loop_start()
        await_that(lambda: self._subscribed, self.broker.log.read_text)
        return self

    def __exit__(self, *_: object) -> None:
        self._mqtt.disconnect()
        self._mqtt.loop_stop()

    def publish(self, topic: str, payload: bytes) -> None:
        self._mqtt.publish(topic, payload, qos=1).wait_for_publish(_MOST_S)

    def statuses(self) -> list[str]:
        return [message.payload.decode() for message in self.messages if message.topic.endswith("/status")]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(message.payload) for message in self.targets()]

    def targets(self) -> list[MQTTMessage]:
        return [message for message in self.messages if message.topic.endswith("/targets")]

    def await_status(self, status: str) -> None:
        """Wait until this is the last status."""
        await_that(lambda: [status] == self.statuses()[-1:], lambda: self.statuses()[-5:])

    def _on_subscribe(self, *arguments: Any) -> None:
        self.refused += [str(reason) for reason in arguments[3] if reason.is_failure]
        self._subscribed = True

    def _on_message(self, _client: Any, _data: Any, message: MQTTMessage) -> None:
        self.messages.append(message)
