"""Asks a part whether it answers, by HTTP, by a PING or by its heartbeat."""

import socket
from collections.abc import Callable

import urllib3
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

Question = Callable[[int], bool]
"""Takes the part's process id and returns whether the part answers, within two seconds."""


def http(url: str, statuses: range = range(200, 300)) -> Question:
    """Ask whether a GET of `url` is answered with one of `statuses`."""

    def ask(_: int) -> bool:
        try:
            return urllib3.request("GET", url, timeout=2.0, retries=False).status in statuses
        except urllib3.exceptions.HTTPError:
            return False

    return ask


def redis(url: str) -> Question:
    """Ask whether the Redis at `url` answers a PING; it does not while it still reads its data."""

    def ask(_: int) -> bool:
        try:
            with _connection(url) as connection:
                return bool(connection.ping())
        except RedisError:
            return False

    return ask


def heartbeat(url: str, role: str) -> Question:
    """Ask whether the worker process has a heartbeat in the Redis at `url`, as it has once it is ready."""

    def ask(pid: int) -> bool:
        try:
            with _connection(url) as connection:
                name = f"{role}:{socket.gethostname()}:{pid}:".encode()
                return any(beating.startswith(name) for beating in connection.zrange("alive", 0, -1))
        except RedisError:
            return False

    return ask


def _connection(url: str) -> Redis:
    return Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
