"""How many calls go to one host at once, and to which none for now: one dead receiver delays no other's."""

import time
from secrets import token_hex
from typing import Any

from redis import Redis

from jobs.heartbeats import LIVES
from jobs.redis_client import translated

MOST_CALLS = 4
"""Calls to one host at once; far fewer than a delivery worker has threads."""
FAILURES = 5
"""Failures in a row after which a host is left alone."""
PAUSE = 60
"""Seconds for which it is; the next failure after them begins another pause at once."""

ENTER = f"""{LIVES}
local calls, paused = unpack(KEYS)
local token, now, until_, most = unpack(ARGV)
if redis.call('EXISTS', paused) == 1 then return 0 end
redis.call('ZREMRANGEBYSCORE', calls, '-inf', now)
for _, held in ipairs(redis.call('ZRANGE', calls, 0, -1)) do
  local process = string.match(held, '^(.*)/') or ''
  if not lives(process) then redis.call('ZREM', calls, held) end
end
if redis.call('ZCARD', calls) >= tonumber(most) then return 0 end
redis.call('ZADD', calls, until_, token)
redis.call('EXPIRE', calls, 3600)
return 1
"""

LEAVE = """
local calls, failures, paused, all = unpack(KEYS)
local token, answered, most, pause, host = unpack(ARGV)
redis.call('ZREM', calls, token)
if answered == 'not called' then return end
if answered == 'yes' then
  redis.call('DEL', failures)
elseif redis.call('INCR', failures) >= tonumber(most) then
  redis.call('SET', paused, 1, 'EX', pause)
  redis.call('SADD', all, host)
end
redis.call('EXPIRE', failures, 86400)
"""


class Hosts:
    """The hosts that are being called. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._enter = redis.register_script(ENTER)
        self._leave = redis.register_script(LEAVE)

    def enter(self, host: str, process: str, seconds: float) -> str | None:
        """A token if this host may be called now, within `seconds`; None where it is busy or left alone.

        The token is worth nothing once the `process` (the name of its heartbeat) has died.
        """
        token, now = f"{process}/{token_hex(8)}", time.time()
        with translated(self._redis):
            entered = self._enter(
                keys=[f"calls:{host}", f"paused:{host}"], args=[token, now, now + seconds, MOST_CALLS]
            )
        return token if entered else None

    def leave(self, host: str, token: str, answered: bool | None) -> None:
        """The call has ended: False where the host did not answer, or with an error of its own.

        None means that it was not called, for reasons of ours.
        """
        told = {True: "yes", False: "no", None: "not called"}[answered]
        with translated(self._redis):
            self._leave(
                keys=[f"calls:{host}", f"failures:{host}", f"paused:{host}", "paused"],
                args=[token, told, FAILURES, PAUSE, host],
            )

    def paused(self) -> set[str]:
        """The hosts that are left alone for now."""
        with translated(self._redis):
            known: Any = self._redis.smembers("paused")
            hosts = [host.decode() for host in known]
            there = [bool(self._redis.exists(f"paused:{host}")) for host in hosts]
            for host, still in zip(hosts, there, strict=True):
                if not still:
                    self._redis.srem("paused", host)
        return {host for host, still in zip(hosts, there, strict=True) if still}
