"""The heartbeats of all processes: one sorted set in Redis, of names by the time of their last beat."""

from typing import Any

from redis import Redis

from jobs.redis.client import translated

HEARTBEAT_SECONDS = 10
"""A process lives for so long after its last beat, by the clock of Redis."""
HEARTBEATS = "alive"

LIVES = f"""
local function lives(process)
  local beat = redis.call('ZSCORE', '{HEARTBEATS}', process)
  return beat and tonumber(beat) > tonumber(redis.call('TIME')[1]) - {HEARTBEAT_SECONDS}
end
"""
"""What scripts begin with that ask whether a process lives."""

_BEAT = "return redis.call('ZADD', KEYS[1], redis.call('TIME')[1], ARGV[1])"
_BY_AGE = """
local since = tonumber(redis.call('TIME')[1]) - tonumber(ARGV[1])
return {
  redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. since, '+inf'),
  redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', since)
}
"""


class Heartbeats:
    """Which processes live. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._beat = redis.register_script(_BEAT)
        self._by_age = redis.register_script(_BY_AGE)

    def beat(self, name: str) -> None:
        """Record that the process `name` lives."""
        with translated(self._redis):
            self._beat(keys=[HEARTBEATS], args=[name])

    def end(self, name: str) -> None:
        """Record that the process `name` has ended: it is missing at once."""
        with translated(self._redis):
            self._redis.zadd(HEARTBEATS, {name: 0}, xx=True)

    def forget(self, name: str) -> None:
        """Remove the process `name`, which has ended and holds no job."""
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
