"""The connection to Redis that the view and the queue share, with its errors translated."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty
from typing import Any
from weakref import WeakKeyDictionary

from redis import BlockingConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import MaxConnectionsError, RedisError
from redis.exceptions import TimeoutError as RedisSilent
from redis.retry import Retry

from jobs.errors import QueueAway, QueueBusy

CONNECTIONS = 32
"""Connections that one client holds at most."""
LONGEST_WAIT = 2.0
"""Seconds for which a request waits for one of them."""
PAUSE = 2.0
"""Seconds for which a Redis that did not answer is not asked again: a request waits for it once."""

_asked_again_at: WeakKeyDictionary[Redis, float] = WeakKeyDictionary()


class _Pool(BlockingConnectionPool):
    """A pool whose exhaustion is an error of its own: redis-py tells it apart by its text alone."""

    def get_connection(self, *arguments: Any, **options: Any) -> Any:
        try:
            return super().get_connection(*arguments, **options)
        except RedisAway as error:
            if isinstance(error.__context__, Empty):
                raise MaxConnectionsError("no connection of the pool is free") from error
            raise


def connect(url: str) -> Redis:
    """A client of the Redis at `url` that gives up soon: whoever asks has somebody waiting."""
    # A connection that was closed meanwhile is worth a second try, a silence is not.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisAway,))
    given = {"socket_timeout": 2, "socket_connect_timeout": 2, "retry": retry}
    # Hundreds of threads that are woken at once take turns, and do not all connect.
    pool = _Pool.from_url(url, max_connections=CONNECTIONS, timeout=LONGEST_WAIT, **given)
    return Redis(connection_pool=pool)


@contextmanager
def translated(redis: Redis) -> Iterator[None]:
    """Raise QueueAway where this Redis does not answer, or answers with an error.

    Raise QueueBusy where no connection to it became free: others go on asking it.
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
    except RedisError as error:
        raise QueueAway(f"Redis answered with an error: {type(error).__name__}") from error
