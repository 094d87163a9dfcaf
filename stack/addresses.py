"""Finds the addresses of one stack: the ports of its parts, and where Redis and S3 come from."""

import errno
import random
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from stack.errors import StartRefused

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Addresses:
    """Where everything listens. `own_redis` and `own_s3` tell whether this stack runs the server itself."""

    api_port: int
    flower_port: int
    redis_port: int
    s3_port: int
    metrics_port: int
    """The first of the ports, one after the other, at which the workers serve their metrics."""
    redis_url: str | None
    s3_url: str | None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Addresses":
        """Read the addresses from PORT, FLOWER_PORT, REDIS_URL and S3_ENDPOINT_URL.

        Raises StartRefused, naming the setting, for a port that is no port, or that is taken.
        """
        api_port = port_of(environment, "PORT", 8000)
        flower_port = port_of(environment, "FLOWER_PORT", 5555)
        if api_port == flower_port:
            raise StartRefused(f"PORT and FLOWER_PORT are both {api_port}; give them two different ports.")
        redis_url = environment.get("REDIS_URL", "").strip() or None
        if redis_url and not redis_url.startswith(("redis://", "rediss://")):
            raise StartRefused("REDIS_URL is not an address that `make up` takes: redis:// or rediss://.")
        metrics_port = free_row(4, avoiding=(api_port, flower_port))
        row = range(metrics_port, metrics_port + 4)
        redis_port, s3_port = free_ports(2, avoiding=(api_port, flower_port, *row))
        return cls(
            api_port=api_port,
            flower_port=flower_port,
            redis_port=redis_port,
            s3_port=s3_port,
            metrics_port=metrics_port,
            redis_url=redis_url,
            s3_url=environment.get("S3_ENDPOINT_URL", "").strip() or None,
        )

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return f"http://{HOST}:{self.api_port}"

    @property
    def flower(self) -> str:
        """URL of Flower."""
        return f"http://{HOST}:{self.flower_port}"

    @property
    def s3(self) -> str:
        """Endpoint URL of the S3 server."""
        return self.s3_url or f"http://{HOST}:{self.s3_port}"

    def redis(self, password: str) -> str:
        """URL of Redis, with its password in it."""
        return self.redis_url or f"redis://:{password}@{HOST}:{self.redis_port}/0"


def free_ports(count: int, avoiding: tuple[int, ...] = ()) -> list[int]:
    """Find `count` ports on 127.0.0.1 that no program listens on.

    They lie below the range that the kernel gives to outgoing connections, so that none takes them
    between this look and the server's start.
    """
    found: list[int] = []
    for port in random.sample(range(20_000, 32_000), 12_000):
        if len(found) == count:
            break
        if port not in avoiding and _refusal(port) is None:
            found.append(port)
    return found


def free_row(count: int, avoiding: tuple[int, ...] = ()) -> int:
    """Find `count` such ports, one after the other, and return the first."""
    while True:
        (first,) = free_ports(1, avoiding)
        rest = range(first + 1, first + count)
        if not set(rest) & set(avoiding) and all(_refusal(port) is None for port in rest):
            return first


def port_of(environment: Mapping[str, str], setting: str, default: int) -> int:
    """The port that a setting asks for. Raises StartRefused, naming it, for one that is none or is taken."""
    text = environment.get(setting, "").strip() or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65_536:
        raise StartRefused(f"{setting}={text!r} is not a port; give a number from 1 to 65535.")
    refusal = _refusal(int(text))
    if refusal == errno.EADDRINUSE:
        raise StartRefused(
            f"port {text} on {HOST} is in use by another program; stop it, or set {setting} to a free port."
        )
    if refusal is not None:
        raise StartRefused(
            f"port {text} on {HOST} cannot be used ({errno.errorcode[refusal]}); set {setting}."
        )
    return int(text)


def _refusal(port: int) -> int | None:
    """Return the error of listening on `port`; None where it is free."""
    with socket.socket() as probe:
        # As servers do it: connections of a stack that just ended are no obstacle, a listener is one.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
            probe.listen()
        except OSError as error:
            return error.errno
    return None
