"""Pauses receivers that fail several times in a row: for a minute, after which one call tries again."""

import time
from typing import Any

from redis import Redis

from jobs.redis.client import translated
from jobs.redis.script import script

FAILURES = 5
"""Failures in a row after which a receiver is paused."""
PAUSE = 60
"""Seconds of a pause. The next failure after it begins another pause at once."""


class CircuitBreaker:
    """Counts the failures of each client's receivers. A receiver is an origin: scheme, host and port.

    Failures are counted per client, so that no client can pause another's receiver.
    Every method raises QueueUnavailable where Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._count = script(redis, "count_call")

    def count(self, client: str, origin: str, answered: bool) -> None:
        """Count a call. `answered` is False where there was no answer, or a status of 500 and above."""
        name = f"{client} {origin}"
        with translated(self._redis):
            self._count(
                keys=[f"failures:{name}", "paused"],
                args=[name, int(answered), time.time(), FAILURES, PAUSE],
            )

    def paused(self) -> set[tuple[str, str]]:
        """Return the receivers that are paused now, each as client and origin."""
        with translated(self._redis):
            names: Any = self._redis.zrangebyscore("paused", time.time(), "+inf")
        pairs = (name.decode().partition(" ") for name in names)
        return {(client, origin) for client, _, origin in pairs}
