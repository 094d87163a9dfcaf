"""Removes erased text from the append-only file of Redis, by having Redis rewrite the file."""

import logging
from secrets import token_hex
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from jobs.redis.client import take, translated

log = logging.getLogger(__name__)

ERASED, _REWRITTEN, PAUSE = "erasures", "erasures:rewritten", "erasures:pause"


class AppendOnlyFile:
    """Counts the erasures, and those that a rewrite of the file covers. Both counts are kept in Redis.

    Every method may raise QueueUnavailable.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def count_erasure(self) -> None:
        """Count one erasure, after the text was removed: a rewrite that begins now leaves it out."""
        with translated(self._redis):
            self._redis.incr(ERASED)

    def rewrite(self, seconds: int) -> None:
        """Have Redis rewrite its file in the background if the file may hold erased text.

        At most one rewrite begins within `seconds`. A rewrite that failed is repeated.
        """
        with translated(self._redis):
            counts: Any = self._redis.mget(ERASED, _REWRITTEN)
            state: Any = self._redis.info("persistence")
            erased, rewritten = counts
            ended_well = erased == rewritten and state["aof_last_bgrewrite_status"] == "ok"
            if erased is None or ended_well or not state["aof_enabled"]:
                return
            if not take(self._redis, PAUSE, token_hex(8), seconds):
                return
            try:
                self._redis.bgrewriteaof()
            except ResponseError as error:
                log.warning("Redis does not rewrite its append-only file: %s", error)
                return
            # Read before the rewrite began: an erasure since then needs the next rewrite.
            self._redis.set(_REWRITTEN, erased)
