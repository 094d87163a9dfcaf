"""Connects to Redis, and translates the errors of redis-py into those of the service."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any
from weakref import WeakKeyDictionary

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    MaxConnectionsError,
    NoPermissionError,
    ReadOnlyError,
    RedisError,
)
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import TimeoutError as RedisSilent
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from jobs.record.errors import QueueAway, QueueBusy
from jobs.redis.address import Sentinels

CONNECTIONS = 32
"""Most connections of one client."""
_LONGEST_WAIT = 2.0
"""Seconds for which a request waits for a free connection."""
PAUSE = 2.0
"""Seconds for which a Redis that did not answer is not asked again.

Without this pause a request would wait for the timeout of each of its commands.
"""
_REFUSED_TO_SCRIPT = ("ACL failure in script", "The user executing the script can't")
"""How the error of a script begins whose user may not do what the script does: of Redis 7.2, and of 7.0."""

_asked_again_at: WeakKeyDictionary[Redis, float] = WeakKeyDictionary()


class _Pool(BlockingConnectionPool):
    """A pool that raises MaxConnectionsError when it is exhausted; redis-py raises a general error."""

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        """Return a free connection, reconnected if it was marked. Raises MaxConnectionsError for none."""
        try:
            connection = super().get_connection(*arguments, **options)
        except RedisAway as error:
            if isinstance(error.__context__, Empty):
                raise MaxConnectionsError("no connection of the pool is free") from error
            raise
        if connection.should_reconnect():
            try:
                connection.disconnect()
                connection.connect()
            except BaseException:
                self.release(connection)
                raise
        return connection

    def leave_server(self) -> None:
        """Mark every connection to be reconnected before its next use.

        `disconnect` would close connections on which other threads wait for an answer.
        """
        for connection in list(self._connections):
            connection.mark_for_reconnect()


class _SentinelPool(SentinelConnectionPool, _Pool):
    """The same pool, with connections to the server that the sentinels name as master."""


def connect(url: str) -> Redis:
    """Return a client of the Redis at `url`. Each of its commands ends within seconds.

    Raises ValueError for a malformed address.
    """
    # A command is repeated on a connection that was closed, and not after a timeout.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisAway,))
    given = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": retry}
    # Hundreds of threads may be woken at once: they share these connections.
    bounds = {"max_connections": CONNECTIONS, "timeout": _LONGEST_WAIT}
    if sentinels := Sentinels.of(url):
        known = Sentinel(sentinels.hosts, sentinel_kwargs={**sentinels.own_options, **sentinels.own_login})
        options = {**given, **bounds, **sentinels.login, **sentinels.tls, "db": sentinels.db}
        redis: Redis = known.master_for(
            sentinels.master, connection_pool_class=_SentinelPool, ssl=bool(sentinels.tls), **options
        )
        return redis
    return Redis(connection_pool=_Pool.from_url(url, **bounds, **given))


def disconnect(redis: Redis) -> None:
    """Close all connections of a client. `Redis.close` leaves those of a pool that it was given."""
    redis.connection_pool.disconnect()


def refusal(redis: Redis) -> str | None:
    """Return why this Redis will never accept this process; None where it answers, or may answer later."""
    pool = redis.connection_pool
    if isinstance(pool, _SentinelPool):
        try:
            pool.get_master_address()
        except RedisError:
            # This error does not say why a sentinel did not answer, or whether it was one that refused.
            sentinels = pool.sentinel_manager.sentinels
            reasons = (_refusal(one, one.sentinel_masters, "a sentinel") for one in sentinels)
            return next(filter(None, reasons), None)
    return _refusal(redis, redis.ping, "Redis")


def _refusal(redis: Redis, ask: Callable[[], object], name: str) -> str | None:
    try:
        ask()
    except AuthenticationError as error:
        return f"{name} refuses the user or password in REDIS_URL: {error}"
    except NoPermissionError as error:
        return f"{name} gives {_too_few_rights(redis, error)}"
    except RedisError as error:
        return _refused_by(error, name)
    return None


def _too_few_rights(redis: Redis, error: RedisError) -> str:
    user = redis.connection_pool.connection_kwargs.get("username") or "default"
    return f"the user {user!r} of REDIS_URL too few rights (docs/operate.md): {error}"


def _refused_by(error: BaseException | None, name: str) -> str | None:
    while error:
        if isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {name} is not trusted ({error.verify_message}): name the CA that signed"
                " it in REDIS_URL, `?ssl_ca_certs=FILE`, and the server by the name in its certificate"
            )
        if isinstance(error, ssl.SSLError) and "CERTIFICATE_REQUIRED" in (error.reason or ""):
            return f"{name} asks for a certificate: name one in REDIS_URL, `ssl_certfile` and `ssl_keyfile`"
        if isinstance(error, FileNotFoundError):
            return "a file that REDIS_URL names, such as ssl_ca_certs, is not there"
        error = error.__cause__ or error.__context__
    return None


def take(redis: Redis, key: str, token: str, seconds: int) -> bool:
    """Set `key` to the caller's own `token` for so many seconds, and return whether it was free.

    A key with this token was free as well: the answer to a first attempt was lost with its connection.
    """
    return bool(redis.set(key, token, nx=True, ex=seconds)) or redis.get(key) == token.encode()


@contextmanager
def translated(redis: Redis) -> Iterator[None]:
    """Raise the errors of redis-py in the block as QueueUnavailable.

    QueueAway: this Redis does not answer, or answers with an error. QueueBusy: all connections are in use.
    """
    if time.monotonic() < _asked_again_at.get(redis, 0.0):
        raise QueueAway("Redis did not answer just now")
    try:
        yield
    except MaxConnectionsError as error:
        raise QueueBusy("all connections to Redis are in use") from error
    except (RedisAway, RedisSilent) as error:
        _asked_again_at[redis] = time.monotonic() + PAUSE
        raise QueueAway(f"Redis does not answer: {type(error).__name__}") from error
    except ReadOnlyError as error:
        # A demoted master keeps its connections. The same address may lead to the new master by now.
        if isinstance(redis.connection_pool, _Pool):
            redis.connection_pool.leave_server()
        raise QueueAway("Redis is a replica, and takes no writes") from error
    except RedisError as error:
        if isinstance(error, NoPermissionError) or str(error).startswith(_REFUSED_TO_SCRIPT):
            raise QueueAway(f"Redis gives {_too_few_rights(redis, error)}") from error
        raise QueueAway(f"Redis answered with an error: {type(error).__name__}") from error
