"""Keeps the agenda: when the sweeper checks each job next. It is a sorted set in Redis.

Every job that has a marker in the ledger is on the agenda. A round of the sweeper therefore costs as much as
there are jobs due, however many are stored. The agenda is lost with Redis, and worker.sweeper.reconcile
rebuilds it.
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
"""Time after which a check is repeated that changed nothing, or whose sweeper died."""
DOUBT = timedelta(seconds=10)
"""A job that the view shows as running for longer is looked up in the ledger. Most take far less."""
_ANY_VERSION = 10**9
_PASS_SECONDS = 86_400
"""Seconds that a reconciliation takes at most."""


def check_at(job: Job) -> float:
    """Return when the sweeper has to check a job in this state, in seconds since the epoch."""
    if job.state is State.QUEUED:
        # Until then it waits in its client's queue, where lost messages are found without the agenda.
        return job.expires_at.timestamp() if job.expires_at else inf
    if job.state is State.RUNNING and job.kind is Kind.JOB:
        return ((job.started_at or job.queued_at) + DOUBT).timestamp()
    if job.owes_callback:
        return inf  # It waits in its receiver's delivery queue.
    return (now() + AGAIN).timestamp()


class Agenda:
    """The agenda in Redis. Every method raises QueueUnavailable where Redis does not answer."""

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
        """Have these jobs checked soon. To be called before anything is done for them."""
        at = (now() + after).timestamp()
        with translated(self._redis):
            self._redis.zadd(AGENDA, dict.fromkeys(job_ids, at), lt=True)

    def take(self, until: float, most: int) -> list[str]:
        """Take the jobs that are due before `until` and return their ids. Each is due again after AGAIN."""
        with translated(self._redis):
            due: Any = self._take(keys=[AGENDA], args=[until, most, AGAIN.total_seconds()])
        return [job_id.decode() for job_id in due]

    def later(self, job: Job) -> None:
        """Set the next check of this job by its state, unless the view shows another version of it."""
        with translated(self._redis):
            self._later(keys=[AGENDA, f"job:{job.id}"], args=[job.id, job.version, check_at(job)])

    def postpone(self, job_id: str, pause: timedelta) -> None:
        """Set the next check of a job that is on the agenda to the end of a pause."""
        with translated(self._redis):
            self._redis.zadd(AGENDA, {job_id: (now() + pause).timestamp()}, xx=True)

    def waits(self, study: Job) -> bool:
        """Return whether a job of the study is on the agenda. If so, check the study once one leaves it."""
        with translated(self._redis):
            return bool(self._waits(keys=[AGENDA], args=[study.id, *study.members]))

    def forget(self, job_id: str, version: int = _ANY_VERSION) -> None:
        """Remove a job for which nothing is left to do at this version. Its study is checked soon."""
        with translated(self._redis):
            self._forget(keys=[AGENDA, f"job:{job_id}"], args=[job_id, version, AGAIN.total_seconds()])

    def due_at(self, job_id: str) -> float | None:
        """Return when a job is checked, in seconds since the epoch: `inf` where it waits in a queue instead.

        Returns None where the job is not on the agenda.
        """
        with translated(self._redis):
            at: Any = self._redis.zscore(AGENDA, job_id)
        return at

    def size(self) -> int:
        """Return how many jobs are on the agenda."""
        with translated(self._redis):
            return self._redis.zcard(AGENDA)

    def missing(self, job_ids: Sequence[str]) -> list[str]:
        """Return those of the jobs that are not on the agenda."""
        with translated(self._redis):
            pipe = self._redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.zscore(AGENDA, job_id)
            return [job_id for job_id, at in zip(job_ids, pipe.execute(), strict=True) if at is None]

    def stale(self, seconds: float) -> bool:
        """Return whether it may lack jobs: after a wipe, restart or failover, or long after the last pass."""
        with translated(self._redis):
            return bool(self._stale(keys=["reconciled"], args=[seconds]))

    def begin_pass(self) -> str:
        """Begin a pass over all markers, and return its token."""
        token = token_hex(8)
        with translated(self._redis):
            self._begin(keys=[f"pass:{token}"], args=[_PASS_SECONDS])
        return token

    def complete_pass(self, token: str) -> None:
        """Record that the pass has seen all markers. Does nothing where Redis was wiped since it began."""
        with translated(self._redis):
            self._complete(keys=["reconciled", f"pass:{token}"])
