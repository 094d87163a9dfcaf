"""The connection to Redis that the view and the queue share, with its errors translated."""

from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.errors import QueueUnavailable


def connect(url: str) -> Redis:
    """A client of the Redis at `url` that gives up soon: whoever asks has somebody waiting."""
    return Redis.from_url(url, socket_timeout=3, socket_connect_timeout=2, retry=Retry(NoBackoff(), 1))


@contextmanager
def translated() -> Iterator[None]:
    """Raise QueueUnavailable where Redis does not answer, or answers with an error."""
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(f"Redis does not answer: {type(error).__name__}") from error
