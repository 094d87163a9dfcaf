"""The callbacks that are due, a line for each receiver of each client, and whose turn it is to be called.

Kept in Redis: the view writes a job's place in its line with each version; lost and rebuilt with the view.
"""

import time
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from redis import Redis

from jobs.redis.circuit_breaker import FAILURES
from jobs.redis.client import translated
from jobs.redis.heartbeats import LIVES

DELIVERY_THREADS = 16
"""Calls that one delivery worker makes at once."""
CLIENT_CALLS = DELIVERY_THREADS // 4
"""Calls of one client at once, in the queue or being made: at most a quarter of a worker's threads."""
RECEIVER_CALLS = CLIENT_CALLS - 1
"""Calls to one of a client's receivers at once: one that is slow leaves room for the client's others."""
PROBES = "probes"
"""The line of a client's test events, one at a time. It is no receiver: no origin has this name."""

_REPEAT_SECONDS = 2
"""Pause after a turn that left its callback due, because a store did not answer for example."""
MESSAGE_SECONDS, _QUEUED_SECONDS = 5, 300
"""Seconds after which a turn that no worker has begun is given again: the first where the queue is empty, so
that its message is lost, the second where the message may still wait."""

_JOIN = """
local line, receivers, clients = unpack(KEYS)
local item, due, origin, client = unpack(ARGV)
redis.call('ZADD', line, due, item)
redis.call('ZADD', receivers, 'LT', due, origin)
redis.call('ZADD', clients, 'LT', due, client)
"""

_HELD = (
    LIVES
    + """
local function held_by(holder, till, now)
  return tonumber(till) > now and lives(string.match(holder, '^(.*)/'))
end
"""
)
"""For the scripts: whether a turn is held by a process that lives, and may still hold it."""

_NEXT = (
    _HELD
    + """
local turns, receivers, clients, queue, paused = unpack(KEYS)
local client, probes = ARGV[1], ARGV[2]
local now, free, most, failures, lost, queued = unpack(ARGV, 3)
now, free, most, failures = tonumber(now), tonumber(free), tonumber(most), tonumber(failures)
local wait = redis.call('LLEN', queue) == 0 and tonumber(lost) or tonumber(queued)
local calls = {}
for _, item in ipairs(redis.call('SMEMBERS', turns)) do
  local turn = 'turn:' .. item
  local origin, given, holder, till = unpack(redis.call('HMGET', turn, 'origin', 'given', 'holder', 'till'))
  local waits = not holder and now - (given or 0) < wait
  if waits or holder and held_by(holder, till, now) then
    calls[origin], free = (calls[origin] or 0) + 1, free - 1
  else
    redis.call('SREM', turns, item)
    redis.call('DEL', turn)
  end
end
-- Receivers that get a turn line up anew, in this order, before what is due only later.
local chosen, busy, last, horizon = {}, 0, now, now + 0.001
while free > 0 do
  local origin = redis.call('ZRANGEBYSCORE', receivers, '-inf', horizon, 'LIMIT', busy, 1)[1]
  if not origin then break end
  local line, name = 'callbacks:' .. client .. ':' .. origin, client .. ' ' .. origin
  local ends = tonumber(redis.call('ZSCORE', paused, name) or 0)
  -- A receiver that has failed is tried by one call.
  local alone = origin == probes or tonumber(redis.call('GET', 'failures:' .. name) or 0) >= failures
  local held = calls[origin] or 0
  local room, item = held < (alone and 1 or most), nil
  if ends <= now and room then
    for _, due in ipairs(redis.call('ZRANGEBYSCORE', line, '-inf', now, 'LIMIT', 0, held + 1)) do
      if redis.call('EXISTS', 'turn:' .. due) == 0 then item = item or due end
    end
  end
  if item then
    redis.call('HSET', 'turn:' .. item, 'client', client, 'origin', origin, 'given', now)
    redis.call('SADD', turns, item)
    last = last + 0.000001
    redis.call('ZADD', receivers, last, origin)
    calls[origin], free, chosen[#chosen + 1] = held + 1, free - 1, item
  else
    local first = redis.call('ZRANGE', line, 0, 0, 'WITHSCORES')[2]
    local later = first and math.max(tonumber(first), ends)
    if not first then redis.call('ZREM', receivers, origin)
    elseif later > horizon then redis.call('ZADD', receivers, later, origin)
    else busy = busy + 1 end
  end
end
-- When to look again: a turn may be lost, and a receiver is due later.
local later = redis.call('ZRANGEBYSCORE', receivers, '(' .. horizon, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
local open = redis.call('EXISTS', turns) == 1 or redis.call('ZCOUNT', receivers, '-inf', horizon) > 0
local at = open and math.min(now + lost, later or math.huge) or later
if at then redis.call('ZADD', clients, at, client) else redis.call('ZREM', clients, client) end
return chosen
"""
)

BEGIN = (
    _HELD
    + """
local turn, paused = unpack(KEYS)
local item, token, now, till = unpack(ARGV)
local client, origin, holder, held = unpack(redis.call('HMGET', turn, 'client', 'origin', 'holder', 'till'))
if not client or holder and held_by(holder, held, tonumber(now)) then return false end
if tonumber(redis.call('ZSCORE', paused, client .. ' ' .. origin) or 0) > tonumber(now) then
  redis.call('SREM', 'turns:' .. client, item)
  redis.call('DEL', turn)
  return false
end
redis.call('HSET', turn, 'holder', token, 'till', till)
return {client, origin}
"""
)

END = """
local turn, turns, line = unpack(KEYS)
local item, token, now, again = unpack(ARGV)
if redis.call('HGET', turn, 'holder') ~= token then return end
redis.call('DEL', turn)
redis.call('SREM', turns, item)
local due = redis.call('ZSCORE', line, item)
if due and tonumber(due) <= tonumber(now) then redis.call('ZADD', line, now + again, item) end
"""


@dataclass(frozen=True)
class CallSlot:
    """The right to make one call: for `item`, the id of a job, a study or a test event."""

    item: str
    client: str
    origin: str
    token: str


class DeliveryQueues:
    """Every callback that is owed. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._join = redis.register_script(_JOIN)
        self._next = redis.register_script(_NEXT)
        self._begin = redis.register_script(BEGIN)
        self._end = redis.register_script(END)

    def join(self, client: str, probe_id: str) -> None:
        """Put a test event into its client's line; a job's callback is put there by the view."""
        keys = [line_key(client, PROBES), receivers_key(client), "callbacks"]
        with translated(self._redis):
            self._join(keys=keys, args=[probe_id, time.time(), PROBES, client])

    def next(self, client: str, queue: str) -> list[str]:
        """The ids to put into the `queue` now, as far as the client has room; each is given one turn."""
        keys = [f"turns:{client}", receivers_key(client), "callbacks", queue, "paused"]
        limits = [CLIENT_CALLS, RECEIVER_CALLS, FAILURES, MESSAGE_SECONDS, _QUEUED_SECONDS]
        with translated(self._redis):
            chosen: Any = self._next(keys=keys, args=[client, PROBES, time.time(), *limits])
        return [item.decode() for item in chosen]

    def clients(self) -> list[str]:
        """The clients for whom `next` has to be asked now."""
        with translated(self._redis):
            found: Any = self._redis.zrangebyscore("callbacks", "-inf", time.time())
        return [client.decode() for client in found]

    def begin(self, item: str, process: str, seconds: float) -> CallSlot | None:
        """The turn of `item`, to be ended within `seconds`.

        None where it has none, where another holds it, or where its receiver has been paused meanwhile.

        It is free again once the `process` (the name of its heartbeat) has died: the receiver may then be
        called a second time, under the same id.
        """
        token, now = f"{process}/{token_hex(8)}", time.time()
        with translated(self._redis):
            found: Any = self._begin(keys=[f"turn:{item}", "paused"], args=[item, token, now, now + seconds])
        return CallSlot(item, found[0].decode(), found[1].decode(), token) if found else None

    def leave(self, turn: CallSlot) -> None:
        """Take what this turn is for out of its line: nothing is left to call for."""
        with translated(self._redis):
            self._redis.zrem(line_key(turn.client, turn.origin), turn.item)

    def end(self, turn: CallSlot) -> None:
        """Give the turn back. A callback that is still due comes again _REPEAT_SECONDS later."""
        line = line_key(turn.client, turn.origin)
        with translated(self._redis):
            self._end(
                keys=[f"turn:{turn.item}", f"turns:{turn.client}", line],
                args=[turn.item, turn.token, time.time(), _REPEAT_SECONDS],
            )


def line_key(client: str, origin: str) -> str:
    """Where the callbacks that a client's receiver is owed stand, by the time that they are due."""
    return f"callbacks:{client}:{origin}"


def receivers_key(client: str) -> str:
    """Which receivers of a client have such a line, by the time that they are looked at next."""
    return f"receivers:{client}"
