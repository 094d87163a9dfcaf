"""The fast view of the jobs in Redis: their latest versions, who holds what, and which processes live.

Nothing in here is the truth. Redis may be wiped at any moment, and the sweeper rebuilds this from the ledger.
"""

import time
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from redis import Redis

from jobs.breaker import Breaker
from jobs.callback_url import origin_of
from jobs.deliveries import Deliveries, receivers_key
from jobs.deliveries import line_key as callbacks_key
from jobs.heartbeats import Heartbeats
from jobs.job import Job
from jobs.lines import Lines, drained_key, line_key, sent_key
from jobs.redis_client import connect, translated
from jobs.states import State

GATE_SECONDS = 20
"""How long a gate stays shut. Its holder begins to write while WRITE_SECONDS are left, or not at all, so that
it never opens under him."""
WRITE_SECONDS = 15
"""The longest that a write to the object store takes, with its one retry."""

DOUBT_SECONDS = 40
"""For so long after a wipe, a restart or a failover Redis is not believed to know every gate that it opened:
longer than a gate stays shut and a write takes."""


class Gate(IntEnum):
    """Whether a version may be written: not at all, after a look whether it is there, or at once.

    At once, because this Redis shows the version before and remembers everybody who ever tried this one.
    """

    SHUT, LOOK, OPEN = range(3)


CHANGES = "changes"
"""The channel that tells which jobs have a new version."""

PUT_IF_NEWER = """
local job, waiting, line, sent, lines, drained, counts, callbacks, receivers, clients = unpack(KEYS)
local id, version, record, seconds, since, client, state, final, delivery, origin, due = unpack(ARGV)
local old, was, owed, called = unpack(redis.call('HMGET', job, 'version', 'state', 'delivery', 'origin'))
if old and tonumber(old) >= tonumber(version) then return 0 end
redis.call('HSET', job, 'version', version, 'record', record, 'state', state, 'delivery', delivery)
redis.call('HSET', job, 'origin', origin)
redis.call('PUBLISH', 'changes', id)
if old and was ~= state then
  if final == '1' then redis.call('HINCRBY', counts, 'ended:' .. state, 1) end
  if was == 'running' and state == 'queued' then redis.call('HINCRBY', counts, 'lost', 1) end
end
if owed == 'pending' and delivery ~= owed then redis.call('HINCRBY', counts, 'delivery:' .. delivery, 1) end
redis.call('EXPIRE', job, seconds)
redis.call('ZREM', sent, id)
if since ~= '' then
  redis.call('ZADD', waiting, since, id)
  redis.call('ZADD', line, since, id)
  redis.call('SADD', lines, client)
elseif redis.call('ZREM', waiting, id) == 1 then
  redis.call('ZREM', line, id)
  if redis.call('EXISTS', line) == 0 then redis.call('SREM', lines, client) end
  redis.call('INCR', drained)
  redis.call('EXPIRE', drained, 300)
end
if due ~= '' then
  redis.call('ZADD', callbacks, due, id)
  redis.call('ZADD', receivers, 'LT', due, origin)
  redis.call('SADD', clients, client)
elseif called then redis.call('ZREM', 'callbacks:' .. client .. ':' .. called, id) end
return 1
"""

GATE = """
local gate, job, memory = unpack(KEYS)
local token, seconds, version, doubt = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local held = redis.call('GET', gate)
if held and held ~= token then return 0 end
redis.call('SET', gate, token, 'EX', seconds)
local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')
local now, known, since = redis.call('TIME')[1], unpack(redis.call('HMGET', memory, 'server', 'since'))
if known ~= server then
  since = now
  redis.call('HSET', memory, 'server', server, 'since', since)
end
local shown, tried = unpack(redis.call('HMGET', job, 'version', 'tried'))
if not shown then return 1 end
if tonumber(tried or 0) < version then redis.call('HSET', job, 'tried', version) end
local untried = tonumber(shown) == version - 1 and tonumber(tried or 0) < version
return untried and now - since >= doubt and 2 or 1
"""


class View:
    """Redis as the jobs' fast view. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis, seconds: int) -> None:
        self.lines = Lines(redis)
        self.breaker = Breaker(redis)
        self.deliveries = Deliveries(redis)
        self.heartbeats = Heartbeats(redis)
        self._redis = redis
        self._seconds = seconds
        self._put_if_newer = redis.register_script(PUT_IF_NEWER)
        self._gate = redis.register_script(GATE)

    @classmethod
    def connect(cls, url: str, seconds: int) -> "View":
        """The view at `url`; jobs leave it `seconds` after their last change, and the ledger keeps them."""
        return cls(connect(url), seconds)

    def check(self) -> None:
        """Return if Redis takes writes: one that is full, or a replica, answers a PING as well."""
        with translated(self._redis):
            self._redis.set("check", 1, ex=60)

    def put(self, job: Job) -> None:
        """Show `job`, unless a later version is shown already."""
        waits_since = str(job.queued_at.timestamp()) if job.state is State.QUEUED else ""
        origin = origin_of(job.callback_url) if job.callback_url else ""
        due = str(job.next_delivery_at.timestamp()) if job.owes_callback and job.next_delivery_at else ""
        with translated(self._redis):
            self._put_if_newer(
                keys=[
                    f"job:{job.id}",
                    f"waiting:{job.priority}",
                    line_key(job.client, job.priority),
                    sent_key(job.client, job.priority),
                    f"lines:{job.priority}",
                    drained_key(time.time()),
                    "counts",
                    callbacks_key(job.client, origin),
                    receivers_key(job.client),
                    "callbacks",
                ],
                args=[
                    *(job.id, job.version, job.to_json(), self._seconds, waits_since, job.client),
                    *(job.state, int(_counts(job)), job.delivery, origin, due),
                ],
            )

    def counts(self) -> dict[str, int]:
        """How often jobs came to an end (`ended:<state>`), callbacks too (`delivery:<outcome>`), and how many
        attempts were `lost`: as far as this Redis has seen it."""
        with translated(self._redis):
            counts: Any = self._redis.hgetall("counts")
        return {name.decode(): int(count) for name, count in counts.items()}

    def get_many(self, job_ids: Iterable[str]) -> list[Job | None]:
        """The jobs shown under `job_ids`, None where there is none, in the same order."""
        with translated(self._redis):
            pipe = self._redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(f"job:{job_id}", "record")
            return [Job.from_json(record) if record else None for record in pipe.execute()]

    def gate(self, job_id: str, version: int, token: str) -> Gate:
        """Whether the caller alone may write this version of this job, within GATE_SECONDS.

        Whoever comes again with the same `token` passes again: what it stands for is the same record.
        """
        with translated(self._redis):
            return Gate(
                self._gate(
                    keys=[f"gate:{job_id}:{version}", f"job:{job_id}", "memory"],
                    args=[token, GATE_SECONDS, version, DOUBT_SECONDS],
                )
            )

    def open_gate(self, job_id: str, version: int) -> None:
        """Let this version be written by another: its writer has left nothing there."""
        with translated(self._redis):
            self._redis.delete(f"gate:{job_id}:{version}")


def _counts(job: Job) -> bool:
    # A study's end is that of jobs which are counted themselves.
    return job.state.final and job.state is not State.ERASED and not job.members
