"""Limits how often people may try to sign in: from one address, and with one key."""

import logging
import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis import Redis

from jobs.record.errors import QueueAway
from jobs.redis.client import translated

log = logging.getLogger(__name__)

OF_ADDRESS, OF_KEY = 60, 10
"""Attempts a minute of one address, which may be that of a proxy, and with one key."""


class Attempts:
    """Counts attempts in Redis. While Redis does not answer, every attempt is admitted."""

    def __init__(self, redis: Redis, redis_url: str) -> None:
        self._redis = redis
        storage = RedisStorage(redis_url, connection_pool=redis.connection_pool, key_prefix="quota")
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    def refused_for(self, address: str, digest: str) -> int | None:
        """Count an attempt from an address with the key of this hash.

        Returns None if it is admitted, else the seconds after which another one may be. Raises QueueBusy.
        """
        try:
            with translated(self._redis):
                for quota, what in ((OF_ADDRESS, f"address:{address}"), (OF_KEY, f"key:{digest}")):
                    limit = RateLimitItemPerMinute(quota)
                    if not self._limiter.hit(limit, "sign-in", what):
                        reset, _ = self._limiter.get_window_stats(limit, "sign-in", what)
                        return max(1, math.ceil(reset - time.time()))
        except QueueAway:
            log.warning("Redis does not answer; an attempt to sign in is not counted")
        return None
