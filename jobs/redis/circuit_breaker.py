"""Which receivers fail in a row: such a receiver is not called for a minute, and one call then tries it."""

import time
from typing import Any

from redis import Redis

from jobs.redis.client import translated

FAILURES = 5
"""Failures in a row after which a receiver is paused."""
PAUSE = 60
"""Seconds of a pause; the next failure after them begins another pause at once."""

_NOTE = """
local failures, paused = unpack(KEYS)
local name, answered, now, most, pause = unpack(ARGV)
redis.call('ZREMRANGEBYSCORE', paused, '-inf', now)
if answered == '1' then
  redis.call('DEL', failures)
  redis.call('ZREM', paused, name)
else
  if redis.call('INCR', failures) >= tonumber(most) then redis.call('ZADD', paused, now + pause, name) end
  redis.call('EXPIRE', failures, 86400)
end
"""


class CircuitBreaker:
    """Counts the failures of each client's receivers. A receiver is an origin: scheme, host and port.

    Another client's calls to the same origin are counted apart: no client can pause another's receiver.
    Every method raises QueueUnavailable where Redis does not answer.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._note = redis.register_script(_NOTE)

    def note(self, client: str, origin: str, answered: bool) -> None:
        """Count a call: `answered` is False where there was no answer, or a status of 500 and above."""
        name = f"{client} {origin}"
        with translated(self._redis):
            self._note(
                keys=[f"failures:{name}", "paused"],
                args=[name, int(answered), time.time(), FAILURES, PAUSE],
            )

    def paused(self) -> set[tuple[str, str]]:
        """The receivers that are paused now: client and origin."""
        with translated(self._redis):
            names: Any = self._redis.zrangebyscore("paused", time.time(), "+inf")
        pairs = (name.decode().partition(" ") for name in names)
        return {(client, origin) for client, _, origin in pairs}
