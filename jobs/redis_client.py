"""The connection to Redis that the view and the queue share, with its errors translated."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent
from redis.retry import Retry

from jobs.errors import QueueUnavailable

CONNECTIONS = 32
"""Connections that one client holds at most."""
PAUSE = 2.0
"""Seconds for which a Redis that did not answer is not asked again: a request waits for it once."""

_asked_again_at: WeakKeyDictionary[Redis, float] = WeakKeyDictionary()


def connect(url: str) -> Redis:
    """A client of the Redis at `url` that gives up soon: whoever asks has somebody waiting."""
    # A connection that was closed meanwhile is worth a second try, a silence is not.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisAway,))
    given = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": retry}
    # Hundreds of threads that are woken at once take turns, and do not all connect.
    pool = BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=2, **given)
    return Redis(connection_pool=pool)


@contextmanager
def translated(redis: Redis) -> Iterator[None]:
    """Raise QueueUnavailable where this Redis does not answer, or answers with an error."""
    if time.monotonic() < _asked_again_at.get(redis, 0.0):
        raise QueueUnavailable("Redis did not answer just now")
    try:
        yield
    except (RedisAway, RedisSilent) as error:
        _asked_again_at[redis] = time.monotonic() + PAUSE
        raise QueueUnavailable(f"Redis does not answer: {type(error).__name__}") from error
    except RedisError as error:
        raise QueueUnavailable(f"Redis answered with an error: {type(error).__name__}") from error
