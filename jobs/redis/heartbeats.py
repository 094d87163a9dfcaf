"""Keeps the heartbeats of all processes: a sorted set in Redis, of names by the time of their last beat."""

from typing import Any

from redis import Redis

from jobs.redis.client import translated
from jobs.redis.script import script

HEARTBEAT_SECONDS = 10
"""Seconds for which a process counts as alive after its last beat, by the clock of Redis."""
HEARTBEATS = "alive"


class Heartbeats:
    """The heartbeats. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._beat = script(redis, "beat")
        self._by_age = script(redis, "heartbeats_by_age")

    def beat(self, name: str) -> None:
        """Record that the process `name` lives."""
        with translated(self._redis):
            self._beat(keys=[HEARTBEATS], args=[name])

    def end(self, name: str) -> None:
        """Record that the process `name` has ended: it is missing at once."""
        with translated(self._redis):
            self._redis.zadd(HEARTBEATS, {name: 0}, xx=True)

    def forget(self, name: str) -> None:
        """Remove the process `name`, which has ended and has no running job."""
        with translated(self._redis):
            self._redis.zrem(HEARTBEATS, name)

    def alive(self, prefix: str = "") -> set[str]:
        """Return the names of the processes that live and whose names start with `prefix`."""
        return {name for name in self._names()[0] if name.startswith(prefix)}

    def missing(self) -> set[str]:
        """Return the names of the processes whose last beat is too old, until they are forgotten."""
        return self._names()[1]

    def _names(self) -> tuple[set[str], set[str]]:
        with translated(self._redis):
            answer: Any = self._by_age(keys=[HEARTBEATS], args=[HEARTBEAT_SECONDS])
        fresh, old = ({name.decode() for name in names} for names in answer)
        return fresh, old
