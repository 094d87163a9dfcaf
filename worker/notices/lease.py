"""Lets one delivery worker at a time tell readers, so that none of them is told twice."""

from secrets import token_hex

from redis import Redis

from jobs.redis.client import translated

_KEY = "notices"
_SECONDS = 30


class Lease:
    """The right to tell readers. It ends by itself _SECONDS after `held` was called last."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._token = token_hex(8)

    def held(self) -> bool:
        """Take or keep the right, and return whether this process has it. Raises QueueUnavailable."""
        with translated(self._redis):
            if self._redis.set(_KEY, self._token, nx=True, ex=_SECONDS):
                return True
            return self._redis.get(_KEY) == self._token.encode() and bool(self._redis.expire(_KEY, _SECONDS))
