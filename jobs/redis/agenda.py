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
from jobs.record.states import Kind, State
from jobs.redis.client import translated
from jobs.redis.script import script

AGENDA = "agenda"
AGAIN = timedelta(seconds=5)
"""A check that ends nothing is repeated after so long; so is one whose sweeper died."""
DOUBT = timedelta(seconds=10)
"""A job that the view shows at work for longer is looked up in the ledger: most take far less."""
_ANY_VERSION = 10**9
_PASS_SECONDS = 86_400
"""No reconciliation takes longer."""


def check_at(job: Job) -> float:
    """When the sweeper has to check a job in this state, in seconds since the epoch."""
    if job.state is State.QUEUED:
        # Until then it stands in its client's line, which has its own care.
        return job.expires_at.timestamp() if job.expires_at else inf
    if job.state is State.RUNNING and job.kind is Kind.JOB:
        return ((job.started_at or job.queued_at) + DOUBT).timestamp()
    if job.owes_callback:
        return inf  # It stands in its receiver's line.
    return (now() + AGAIN).timestamp()


class Agenda:
    """When each job is checked. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._take = script(redis, "take_due")
        self._later = script(redis, "check_later")
        self._waits = script(redis, "study_waits")
        self._forget = script(redis, "forget")
        self._stale = script(redis, "server_id", "is_stale")
        self._begin = script(redis, "server_id", "begin_pass")
        self._complete = script(redis, "server_id", "complete_pass")

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
