"""Runs Redis as three servers and three sentinels here, with TLS and users, as docs/operate.md says."""

import re
import shutil
import subprocess
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

from redis import Redis
from redis.exceptions import RedisError

from stack.addresses import HOST, free_ports
from stack.part import ROOT
from tests.proxies import make_certificate

NAME = "osteo"
SERVERS = SENTINELS = 3
SECONDS = 60
PROGRAM = shutil.which("redis-server") or shutil.which("redis-check-rdb")
"""A Redis with TLS, which the packaged Valkey lacks. Debian's redis-tools has it under the second name."""
MISSING = "there is no Redis with TLS. On Debian: apt-get install redis-tools"
_SECTION = (ROOT / "docs/operate.md").read_text().split("\n### Behind sentinels, with TLS\n")[1]
_REDIS, _SENTINEL, _URL = re.findall(r"^```text\n(.+?)\n```$", _SECTION, re.DOTALL | re.MULTILINE)[:3]
FIRST = "192.0.2.1"
"""The first server, as the page names it."""


class Sentinels:
    """Runs while its context is open, in `folder`. `more` are further lines for redis.conf."""

    def __init__(self, folder: Path, *more: str) -> None:
        self._folder, self._more = folder, more
        self._passwords: defaultdict[str, str] = defaultdict(lambda: token_hex(16))
        ports = free_ports(SERVERS + SENTINELS)
        self._servers, self._sentinels = ports[:SERVERS], ports[SERVERS:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        make_certificate(folder, HOST)
        self._tls: dict[str, Any] = {
            "ssl": True,
            "ssl_ca_certs": str(folder / "certificate.pem"),
            "ssl_certfile": str(folder / "certificate.pem"),
            "ssl_keyfile": str(folder / "key.pem"),
        }

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            first, *others = self._servers
            for port in self._servers:
                follows = [f"replicaof {HOST} {first}"] if port != first else []
                lines = [_REDIS, "repl-diskless-sync-delay 0", *self._more, *follows]
                self._begin(stack, port, lines)
            for port in others:
                _await_that(lambda p=port: self._server(p).info("replication")["master_link_status"] == "up")
            for port in self._sentinels:
                self._begin(stack, port, [_SENTINEL], "--sentinel")
            for port in self._sentinels:
                _await_that(lambda p=port: self._knows_all(p))
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    def url(self, user: str, asks_as: str = NAME) -> str:
        """Return the REDIS_URL of the role whose user this is, and which asks the sentinels as that user."""
        hosts = ",".join(f"{HOST}:{port}" for port in self._sentinels)
        url = re.sub(r"LOGIN@[^/]+", f"{user}:password-of-{user}@{hosts}", _URL)
        return self._here(re.sub(rf"(username=|password-of-){NAME}\b", rf"\g<1>{asks_as}", url))

    def secrets(self) -> list[str]:
        """Return all passwords."""
        return list(self._passwords.values())

    def master(self) -> int:
        """Return the port of the master, as the sentinels name it."""
        return int(self._sentinel(self._sentinels[0]).sentinel_masters()[NAME]["port"])

    def kill_master(self) -> float:
        """Kill the master, and return the moment (monotonic) once the sentinels name another one."""
        killed = self.master()
        self._processes[killed].kill()
        at = time.monotonic()
        _await_that(lambda: self.master() != killed)
        return at

    def _here(self, text: str) -> str:
        """Return a text of the page with the passwords, the files and the first server of this trial."""
        text = re.sub(r"password-of-(\w+)", lambda found: self._passwords[found[1]], text)
        text = re.sub(r"/etc/\w+/", f"{self._folder}/", text).replace("ca.pem", "certificate.pem")
        return text.replace(f"{FIRST} 6379", f"{HOST} {self._servers[0]}")

    def _knows_all(self, port: int) -> bool:
        state = self._sentinel(port).sentinel_masters()[NAME]
        return bool(state["num-slaves"] == SERVERS - 1 and state["num-other-sentinels"] == SENTINELS - 1)

    def _server(self, port: int) -> Redis:
        return Redis(HOST, port, username="sentinel", password=self._passwords["sentinel"], **self._tls)

    def _sentinel(self, port: int) -> Redis:
        return Redis(HOST, port, username=NAME, password=self._passwords[NAME], **self._tls)

    def _begin(self, stack: ExitStack, port: int, lines: list[str], *options: str) -> None:
        file, data, log = (self._folder / name for name in (f"{port}.conf", f"data-{port}", f"{port}.log"))
        data.mkdir()
        own = re.sub(r"(?m)^tls-port \d+$", f"tls-port {port}", self._here("\n".join(lines)))
        file.write_text(f"bind {HOST}\ndir {data}\n{own}\n")
        file.chmod(0o600)
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["redis-server", str(file), *options], executable=PROGRAM, stdout=out, stderr=out
            )
        stack.callback(process.wait)
        stack.callback(process.kill)
        self._processes[port] = process

        def answers() -> bool:
            if process.poll() is not None:
                raise ChildProcessError(log.read_text())
            client = self._sentinel(port) if options else self._server(port)
            return bool(client.sentinel_masters() if options else client.ping())

        _await_that(answers)


def _await_that(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            if condition():
                return
        except RedisError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("the servers and sentinels do not agree")
        time.sleep(0.05)
