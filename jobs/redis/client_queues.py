"""The lines of waiting jobs, one a client and priority: the queue is fed from them, so that none floods it.

Kept in Redis by the view, whose records they follow; lost and rebuilt with it.
"""

import time
from typing import Any

from redis import Redis

from jobs.record.job import Job
from jobs.record.states import Priority, State
from jobs.redis.client import translated

CLIENT_WINDOW = 32
"""Jobs of one client and priority that the queue holds at once. The others wait in the client's line, so that
a flood of one client's jobs never stands before another's; more than any one worker takes up at once."""

DRAIN_BUCKET, DRAIN_BUCKETS = 10, 6
"""Seconds in which jobs that leave the queue are counted together, and how many such counts make a rate."""

_MESSAGE_GRACE = 5
"""Seconds for which a message may be just between two places."""

_NEXT_IN_LINE = """
local line, window, sent, unfed = unpack(KEYS)
local size, client, time = tonumber(ARGV[1]), ARGV[2], redis.call('TIME')
redis.call('SREM', unfed, client)
local free, chosen = size - redis.call('SCARD', window), {}
for _, id in ipairs(redis.call('ZRANGE', line, 0, size - 1)) do
  if free <= 0 then break end
  if redis.call('SADD', window, id) == 1 then
    redis.call('ZADD', sent, time[1] + time[2] / 1000000, id)
    chosen[#chosen + 1] = id
    free = free - 1
  end
end
return chosen
"""

_LOST = """
local sent, taken, queue = unpack(KEYS)
local now, before = tonumber(redis.call('TIME')[1]), tonumber(redis.call('GET', taken) or 0)
-- Of a clock that was set back, the mark says nothing until its time has come again.
if before > now then before = 0 end
if redis.call('LLEN', queue) == 0 then before = now end
return redis.call('ZRANGEBYSCORE', sent, '-inf', before - ARGV[1])
"""

_QUEUE_POSITION = """
local priority, client, id = unpack(ARGV)
local own = redis.call('ZRANK', 'line:' .. priority .. ':' .. client, id)
if not own then return -1 end
local before = own
for _, other in ipairs(redis.call('SMEMBERS', 'lines:' .. priority)) do
  if other ~= client then
    before = before + math.min(own + 1, redis.call('ZCARD', 'line:' .. priority .. ':' .. other))
  end
end
if priority == 'routine' then before = before + redis.call('ZCARD', 'waiting:stat') end
return before
"""


class ClientQueues:
    """Who waits, and who is next. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._next_in_line = redis.register_script(_NEXT_IN_LINE)
        self._lost = redis.register_script(_LOST)
        self._position = redis.register_script(_QUEUE_POSITION)

    def position(self, job: Job) -> int | None:
        """About how many jobs go before this one, `stat` first and clients in turn; None unless it waits."""
        if job.state is not State.QUEUED:
            return None
        with translated(self.redis):
            position = int(self._position(args=[job.priority, job.client, job.id]))
        return position if position >= 0 else None

    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return sum(count for count, _ in self.waiting_by_priority().values())

    def waiting_by_priority(self) -> dict[Priority, tuple[int, float | None]]:
        """How many jobs of each priority wait, and since when the first: seconds since the epoch."""
        with translated(self.redis):
            pipe = self.redis.pipeline(transaction=False)
            for priority in Priority:
                pipe.zcard(f"waiting:{priority}")
                pipe.zrange(f"waiting:{priority}", 0, 0, withscores=True)
            answers = pipe.execute()
        first = [found[0][1] if found else None for found in answers[1::2]]
        return dict(zip(Priority, zip(answers[::2], first, strict=True), strict=True))

    def of_client(self, client: str) -> tuple[int, float]:
        """How many jobs of a client wait, and for how many seconds the longest."""
        with translated(self.redis):
            pipe = self.redis.pipeline(transaction=False)
            for line in (line_key(client, priority) for priority in Priority):
                pipe.zcard(line)
                pipe.zrange(line, 0, 0, withscores=True)
            answers = pipe.execute()
        first = [since for found in answers[1::2] for _, since in found]
        return sum(answers[::2]), max(0.0, time.time() - min(first)) if first else 0.0

    def drain_rate(self) -> float:
        """How many jobs a second have left the queue in the last minute."""
        at = time.time()
        with translated(self.redis):
            keys = [drained_key(at - DRAIN_BUCKET * back) for back in range(1, DRAIN_BUCKETS + 1)]
            counts: Any = self.redis.mget(keys)
        return sum(int(count) for count in counts if count) / (DRAIN_BUCKET * DRAIN_BUCKETS)

    def next_in_line(self, client: str, priority: Priority) -> list[str]:
        """The ids of the jobs to put into the queue now, as far as the window has room; each is told once."""
        with translated(self.redis):
            chosen: Any = self._next_in_line(
                keys=[
                    *(line_key(client, priority), window_key(client, priority)),
                    *(f"sent:{priority}", f"unfed:{priority}"),
                ],
                args=[CLIENT_WINDOW, client],
            )
        return [job_id.decode() for job_id in chosen]

    def all(self) -> list[tuple[str, Priority]]:
        """The clients with jobs that wait, and of which priority."""
        return self._clients("lines")

    def unfed(self) -> list[tuple[str, Priority]]:
        """The clients whose lines have changed since `next_in_line`, and of which priority."""
        return self._clients("unfed")

    def _clients(self, name: str) -> list[tuple[str, Priority]]:
        with translated(self.redis):
            found: list[tuple[Priority, Any]] = [(p, self.redis.smembers(f"{name}:{p}")) for p in Priority]
        return [(client.decode(), priority) for priority, clients in found for client in clients]

    def lost(self, priority: Priority, queue: str) -> set[str]:
        """The ids of the waiting jobs whose messages have left the `queue`, and that no worker took up.

        A message has left it if one that was sent later has, or if the queue is empty.
        """
        keys = [f"sent:{priority}", f"taken:{priority}", queue]
        with translated(self.redis):
            lost: Any = self._lost(keys=keys, args=[_MESSAGE_GRACE])
        return {job_id.decode() for job_id in lost}

    def send_again(self, job: Job) -> None:
        """Let this job be told by `next_in_line` once more: its message was lost.

        If it was not, the job has two messages, and says no more of those that were sent before it.
        """
        with translated(self.redis):
            pipe = self.redis.pipeline()
            pipe.sadd(f"resent:{job.priority}", job.id)
            pipe.zrem(f"sent:{job.priority}", job.id)
            pipe.srem(window_key(job.client, job.priority), job.id)
            pipe.sadd(f"unfed:{job.priority}", job.client)
            pipe.execute()


def line_key(client: str, priority: Priority) -> str:
    """Where a client's waiting jobs stand, by the time that they were queued."""
    return f"line:{priority}:{client}"


def window_key(client: str, priority: Priority) -> str:
    """Which of them the queue holds."""
    return f"window:{priority}:{client}"


def drained_key(at: float) -> str:
    """Where the jobs that leave the queue around this time are counted."""
    return f"drained:{int(at // DRAIN_BUCKET)}"
