"""The agenda: when the sweeper checks each job next. One sorted set in Redis, the fast view of the markers.

Every job with a marker is on it, so that a round of the sweeper costs what is due and not what is there.
It is lost and rebuilt with the view: see worker.sweeper.reconcile.
"""

from collections.abc import Sequence
from datetime import timedelta
from math import inf
from secrets import token_hex
from typing import Any

from redis import Redis

from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.redis.client import translated

AGENDA = "agenda"
AGAIN = timedelta(seconds=5)
"""A check that ends nothing is repeated after so long; so is one whose sweeper died."""
DOUBT = timedelta(seconds=10)
"""A job that the view shows at work for longer is looked up in the ledger: most take far less."""
_ANY_VERSION = 10**9
_PASS_SECONDS = 86_400
"""No reconciliation takes longer."""

_TAKE = """
local at = redis.call('TIME')
local now = at[1] + at[2] / 1000000
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', math.min(now, ARGV[1]), 'LIMIT', 0, ARGV[2])
for _, id in ipairs(due) do redis.call('ZADD', KEYS[1], string.format('%.3f', now + ARGV[3]), id) end
return due
"""

LATER = """
if redis.call('HGET', KEYS[2], 'version') ~= ARGV[2] then return end
redis.call('ZADD', KEYS[1], 'XX', ARGV[3], ARGV[1])
"""

_WAITS = """
local study = ARGV[1]
for index = 2, #ARGV do
  if redis.call('ZSCORE', KEYS[1], ARGV[index]) then
    redis.call('ZADD', KEYS[1], 'XX', '+inf', study)
    return 1
  end
end
return 0
"""

_FORGET = """
local shown, study = unpack(redis.call('HMGET', KEYS[2], 'version', 'study'))
if shown and tonumber(shown) > tonumber(ARGV[2]) then return end
redis.call('ZREM', KEYS[1], ARGV[1])
if study then redis.call('ZADD', KEYS[1], 'XX', 'LT', redis.call('TIME')[1] + ARGV[3], study) end
"""

_SERVER = "local server = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')\n"
_STALE = (
    _SERVER
    + """
local known, at = unpack(redis.call('HMGET', KEYS[1], 'server', 'at'))
if known ~= server then return 1 end
return redis.call('TIME')[1] - at >= tonumber(ARGV[1]) and 1 or 0
"""
)
_COMPLETE = (
    _SERVER
    + """
-- A Redis that was wiped meanwhile does not know this pass; one that was replaced has another name.
if redis.call('GET', KEYS[2]) ~= server then return end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'server', server, 'at', redis.call('TIME')[1])
"""
)
BEGIN = _SERVER + "redis.call('SET', KEYS[1], server, 'EX', ARGV[1])"


def check_at(job: Job) -> float:
    """When the sweeper has to check a job in this state, in seconds since the epoch."""
    if job.state is State.QUEUED:
        # Until then it stands in its client's line, which has its own care.
        return job.expires_at.timestamp() if job.expires_at else inf
    if job.state is State.RUNNING and not job.members:
        return ((job.started_at or job.queued_at) + DOUBT).timestamp()
    if job.owes_callback:
        return inf  # It stands in its receiver's line.
    return (now() + AGAIN).timestamp()


class Agenda:
    """When each job is checked. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._take = redis.register_script(_TAKE)
        self._later = redis.register_script(LATER)
        self._waits = redis.register_script(_WAITS)
        self._forget = redis.register_script(_FORGET)
        self._stale = redis.register_script(_STALE)
        self._begin = redis.register_script(BEGIN)
        self._complete = redis.register_script(_COMPLETE)

    def add(self, *job_ids: str, after: timedelta = AGAIN) -> None:
        """Let these jobs be checked soon: something is about to be done for them."""
        at = (now() + after).timestamp()
        with translated(self._redis):
            self._redis.zadd(AGENDA, dict.fromkeys(job_ids, at), lt=True)

    def take(self, until: float, most: int) -> list[str]:
        """The ids of jobs that were due before `until`; none is taken again before AGAIN has passed."""
        with translated(self._redis):
            due: Any = self._take(keys=[AGENDA], args=[until, most, AGAIN.total_seconds()])
        return [job_id.decode() for job_id in due]

    def later(self, job: Job) -> None:
        """Check this job when its state asks for it, unless the view shows another version meanwhile."""
        with translated(self._redis):
            self._later(keys=[AGENDA, f"job:{job.id}"], args=[job.id, job.version, check_at(job)])

    def postpone(self, job_id: str, pause: timedelta) -> None:
        """Check what is on the agenda under this id after a pause."""
        with translated(self._redis):
            self._redis.zadd(AGENDA, {job_id: (now() + pause).timestamp()}, xx=True)

    def waits(self, study: Job) -> bool:
        """Whether one of the study's jobs is on the agenda. The study is then checked once one leaves it."""
        with translated(self._redis):
            return bool(self._waits(keys=[AGENDA], args=[study.id, *study.members]))

    def forget(self, job_id: str, version: int = _ANY_VERSION) -> None:
        """Nothing is left to do for this job at this version; its study is checked soon."""
        with translated(self._redis):
            self._forget(keys=[AGENDA, f"job:{job_id}"], args=[job_id, version, AGAIN.total_seconds()])

    def size(self) -> int:
        """How many jobs are on the agenda."""
        with translated(self._redis):
            return self._redis.zcard(AGENDA)

    def missing(self, job_ids: Sequence[str]) -> list[str]:
        """Those of the jobs that are not on the agenda, and those that it has at no time."""
        with translated(self._redis):
            pipe = self._redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.zscore(AGENDA, job_id)
            return [job_id for job_id, at in zip(job_ids, pipe.execute(), strict=True) if at is None]

    def stale(self, seconds: float) -> bool:
        """Whether it may lack jobs: after a wipe, a restart, a failover, or `seconds` after the last pass."""
        with translated(self._redis):
            return bool(self._stale(keys=["reconciled"], args=[seconds]))

    def begin_pass(self) -> str:
        """A token for a pass over all markers that begins now."""
        token = token_hex(8)
        with translated(self._redis):
            self._begin(keys=[f"pass:{token}"], args=[_PASS_SECONDS])
        return token

    def complete_pass(self, token: str) -> None:
        """The pass has seen all markers: the agenda is whole, unless Redis was wiped meanwhile."""
        with translated(self._redis):
            self._complete(keys=["reconciled", f"pass:{token}"])
