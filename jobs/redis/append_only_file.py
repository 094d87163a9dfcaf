"""Erasures: what was erased leaves Redis' append-only file as well, by a rewrite of the file."""

import logging
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from jobs.redis.client import translated

log = logging.getLogger(__name__)

ERASED, _REWRITTEN, PAUSE = "erasures", "erasures:rewritten", "erasures:pause"


class AppendOnlyFile:
    """How many erasures there were, and up to which one the file was rewritten: both counts lie in Redis.

    Every method may raise QueueUnavailable.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def note(self) -> None:
        """Count one erasure, after Redis has lost the text: a rewrite that begins now no longer writes it."""
        with translated(self._redis):
            self._redis.incr(ERASED)

    def rewrite(self, seconds: int) -> None:
        """Let Redis rewrite its file in the background if anything was erased, once in so many seconds.

        A rewrite that failed is ordered again.
        """
        with translated(self._redis):
            counts: Any = self._redis.mget(ERASED, _REWRITTEN)
            state: Any = self._redis.info("persistence")
            erased, rewritten = counts
            ended_well = erased == rewritten and state["aof_last_bgrewrite_status"] == "ok"
            if erased is None or ended_well or not state["aof_enabled"]:
                return
            if not self._redis.set(PAUSE, 1, nx=True, ex=seconds):
                return
            try:
                self._redis.bgrewriteaof()
            except ResponseError as error:
                log.warning("Redis does not rewrite its append-only file: %s", error)
                return
            # Counted before the rewrite began: an erasure of this moment has the next one.
            self._redis.set(_REWRITTEN, erased)
