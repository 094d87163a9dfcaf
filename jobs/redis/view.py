"""The fast view of the jobs in Redis: their latest versions, who holds what, and which processes live.

Nothing in here is the truth. Redis may be wiped at any moment, and the sweeper rebuilds this from the ledger.
"""

import logging
import time
from collections.abc import Iterable
from enum import IntEnum
from typing import Any

from redis import Redis

from jobs.callbacks.url import origin_of
from jobs.record.job import Job
from jobs.record.states import State
from jobs.redis.agenda import Agenda, check_at
from jobs.redis.circuit_breaker import CircuitBreaker
from jobs.redis.client import connect, translated
from jobs.redis.client_queues import ClientQueues, drained_key, line_key, window_key
from jobs.redis.delivery_queues import DeliveryQueues, receivers_key
from jobs.redis.delivery_queues import line_key as callbacks_key
from jobs.redis.heartbeats import Heartbeats
from jobs.redis.show_script import PUT_IF_NEWER

log = logging.getLogger(__name__)

LOCK_SECONDS = 20
"""How long a gate stays shut. Its holder begins to write while WRITE_SECONDS are left, or not at all, so that
it never opens under him."""
WRITE_SECONDS = 15
"""The longest that a write to the object store takes, with its one retry."""

DOUBT_SECONDS = 40
"""For so long after a wipe, a restart or a failover Redis is not believed to know every gate that it opened:
longer than a gate stays shut and a write takes."""


class WriteLock(IntEnum):
    """Whether a version may be written: not at all, after a look whether it is there, or at once.

    At once, because this Redis shows the version before and remembers everybody who ever tried this one.
    """

    SHUT, LOOK, OPEN = range(3)


CHANGES = "changes"
"""The channel that tells which jobs have a new version."""

_GATE = """
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
        self.agenda = Agenda(redis)
        self.client_queues = ClientQueues(redis)
        self.circuit_breaker = CircuitBreaker(redis)
        self.delivery_queues = DeliveryQueues(redis)
        self.heartbeats = Heartbeats(redis)
        self.redis = redis
        self._seconds = seconds
        self._put_if_newer = redis.register_script(PUT_IF_NEWER)
        self._gate = redis.register_script(_GATE)

    @classmethod
    def connect(cls, url: str, seconds: int) -> "View":
        """The view at `url`; jobs leave it `seconds` after their last change, and the ledger keeps them."""
        return cls(connect(url), seconds)

    def check(self) -> None:
        """Return if Redis takes writes: one that is full, or a replica, answers a PING as well."""
        with translated(self.redis):
            self.redis.set("check", 1, ex=60)

    def put(self, job: Job) -> None:
        """Show `job`, unless a later version is shown already."""
        waits_since = str(job.queued_at.timestamp()) if job.state is State.QUEUED else ""
        origin = origin_of(job.callback_url) if job.callback_url else ""
        due = str(job.next_delivery_at.timestamp()) if job.owes_callback and job.next_delivery_at else ""
        runner = job.runner if job.state is State.RUNNING else None
        with translated(self.redis):
            self._put_if_newer(
                keys=[
                    f"job:{job.id}",
                    f"waiting:{job.priority}",
                    line_key(job.client, job.priority),
                    window_key(job.client, job.priority),
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
                    *(job.priority, check_at(job), runner or "", job.study or ""),
                ],
            )

    def counts(self) -> dict[str, int]:
        """How often jobs came to an end (`ended:<state>`), callbacks too (`delivery:<outcome>`), and how many
        attempts were `lost`: as far as this Redis has seen it."""
        with translated(self.redis):
            counts: Any = self.redis.hgetall("counts")
        return {name.decode(): int(count) for name, count in counts.items()}

    def get_many(self, job_ids: Iterable[str]) -> list[Job | None]:
        """The jobs shown under `job_ids`, in the same order; None where there is none that can be read."""
        with translated(self.redis):
            pipe = self.redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(f"job:{job_id}", "record")
            return [_read(record) if record else None for record in pipe.execute()]

    def held(self, runner: str) -> set[str]:
        """The ids of the jobs that this worker took up and that the view does not show elsewhere since."""
        key = f"held:{runner}"
        with translated(self.redis):
            members: Any = self.redis.smembers(key)
        held = {job_id.decode() for job_id in members}
        shown = self.get_many(held)
        # A record that had left the view, when the job ended, did not say who held it.
        over = {job.id for job in shown if job and (job.state is not State.RUNNING or job.runner != runner)}
        if over:
            with translated(self.redis):
                self.redis.srem(key, *over)
        return held - over

    def lock_version(self, job_id: str, version: int, token: str) -> WriteLock:
        """Whether the caller alone may write this version of this job, within LOCK_SECONDS.

        Whoever comes again with the same `token` passes again: what it stands for is the same record.
        """
        with translated(self.redis):
            return WriteLock(
                self._gate(
                    keys=[f"gate:{job_id}:{version}", f"job:{job_id}", "memory"],
                    args=[token, LOCK_SECONDS, version, DOUBT_SECONDS],
                )
            )

    def open_gate(self, job_id: str, version: int) -> None:
        """Let this version be written by another: its writer has left nothing there."""
        with translated(self.redis):
            self.redis.delete(f"gate:{job_id}:{version}")


def _read(record: bytes) -> Job | None:
    try:
        return Job.from_json(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        log.exception("a record in Redis cannot be read; the ledger is asked")
        return None


def _counts(job: Job) -> bool:
    # A study's end is that of jobs which are counted themselves.
    return job.state.final and job.state is not State.ERASED and not job.members
