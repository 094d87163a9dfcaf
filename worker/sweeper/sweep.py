"""Sweep: check the jobs that are due, by the agenda, and send on their way those that were left behind."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from jobs.lifecycle.deletion import erase_leftovers
from jobs.lifecycle.next_step import after_lost_attempt, pass_on
from jobs.record.errors import Conflict, NotStored, QueueUnavailable, StoreUnavailable
from jobs.record.ids import made_at
from jobs.record.job import LEFTOVER_GRACE, Job
from jobs.record.states import State
from jobs.record.study import concluded
from jobs.redis.agenda import AGAIN, DOUBT
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

CHUNK = 200
_HEARTBEAT_GRACE = timedelta(seconds=5)
"""A worker is gone once its heartbeat has been missing for so long; after a wipe of Redis all are missing."""
_MOST_FAILURES = 3
"""Jobs for which the object store may fail before a round ends: then it is the store, not the job."""


@dataclass(frozen=True)
class Sweeper:
    """What the sweeper works with."""

    ledger: Ledger
    queue: JobQueue
    max_attempts: int
    running_limit: timedelta
    missing: dict[str, datetime] = field(default_factory=dict)
    """The runners without a heartbeat, and when that was first seen."""


@dataclass(frozen=True)
class Sight:
    """What one round sees besides the jobs.

    `lost`: the waiting jobs whose messages were lost. `gone`: the runners that are lost.
    """

    at: datetime
    lost: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def sweep(sweeper: Sweeper) -> None:
    """One round over the jobs that are due. Two sweepers may run at once.

    What it costs follows what has changed, and not how many jobs there are. Raises TransientError where a
    store does not answer; the next round starts anew.
    """
    ledger, queue = sweeper.ledger, sweeper.queue
    # By the clock that is furthest behind: none that has jumped ahead ends or erases anything early.
    at = ledger.clock.earliest()
    view, gone = ledger.view, _gone(sweeper, at)
    sight = Sight(at, frozenset(queue.lost()), gone)
    _feed(ledger, queue)
    check(sight.lost, sight, sweeper)
    for runner in gone:
        if held := view.held(runner):
            check(held, sight, sweeper)
        else:
            view.heartbeats.forget(runner)
    for job_id in ledger.unseen.ids():
        view.agenda.add(job_id, after=timedelta(0))
        ledger.unseen.remove(job_id)
    while due := view.agenda.take(at.timestamp(), CHUNK):
        check(due, sight, sweeper)
    _feed(ledger, queue)


def _feed(ledger: Ledger, queue: JobQueue) -> None:
    """Send to workers what has entered a line, or has come due in one."""
    for client, priority in ledger.view.client_queues.unfed():
        queue.feed(client, priority)
    for client in ledger.view.delivery_queues.clients():
        queue.feed_deliveries(client)


def _gone(sweeper: Sweeper, at: datetime) -> frozenset[str]:
    """The runners that have been missing for so long that they are lost."""
    missing = sweeper.ledger.view.heartbeats.missing()
    for runner in sweeper.missing.keys() - missing:
        del sweeper.missing[runner]
    for runner in missing:
        sweeper.missing.setdefault(runner, at)
    return frozenset(runner for runner, since in sweeper.missing.items() if at - since > _HEARTBEAT_GRACE)


def check(job_ids: Iterable[str], sight: Sight, sweeper: Sweeper) -> None:
    """Bring back those of the jobs that were left behind. Raises TransientError."""
    view, failures = sweeper.ledger.view, 0
    for chunk in _chunks(iter(job_ids)):
        for job_id, job in zip(chunk, view.get_many(chunk), strict=True):
            if job is None or _doubtful(job, sight) or left_behind(job, sight, sweeper):
                failures += not _tried(job_id, sight, sweeper)
                if failures == _MOST_FAILURES:
                    raise StoreUnavailable("the object store failed for several jobs")
            elif not job.members:
                view.agenda.later(job)


def _doubtful(job: Job, sight: Sight) -> bool:
    """Whether the view may lag behind the ledger: whoever ended the job could perhaps not say so."""
    at_work = job.state is State.RUNNING and not job.members
    return at_work and sight.at - (job.started_at or job.queued_at) > DOUBT


def left_behind(job: Job, sight: Sight, sweeper: Sweeper) -> bool:
    """Whether no process works on what this job needs next."""
    if job.state is State.QUEUED:
        return job.id in sight.lost or job.overdue(sight.at)
    if job.members and not job.state.final:
        # Each of its jobs is on the agenda until it has ended and tried to conclude the study.
        return not sweeper.ledger.view.agenda.waits(job)
    if job.state is State.RUNNING:
        held = sight.at - (job.started_at or job.queued_at)
        return held > sweeper.running_limit or job.runner in sight.gone
    # A callback that is owed stands in its receiver's line, where the view has put it.
    return not job.owes_callback


def _tried(job_id: str, sight: Sight, sweeper: Sweeper) -> bool:
    """Bring one job back, whatever is wrong with it; False if the object store failed."""
    try:
        _bring_back(job_id, sight, sweeper)
    except QueueUnavailable:
        raise
    except StoreUnavailable as error:
        log.warning("this job cannot be swept now: %s", error, extra={"job": job_id})
        return False
    except Exception:
        log.exception("this job cannot be swept", extra={"job": job_id})
    return True


def _bring_back(job_id: str, sight: Sight, sweeper: Sweeper) -> None:
    try:
        job = sweeper.ledger.read(job_id)
    except NotStored:
        age = sight.at - made_at(job_id)
        if age > LEFTOVER_GRACE:  # Still without its record.
            log.warning("an interrupted submission is erased", extra={"job": job_id})
            erase_leftovers(job_id, sweeper.ledger)
        elif age > 2 * AGAIN:
            sweeper.ledger.view.agenda.postpone(job_id, age / 2)
        return
    sweeper.ledger.view.put(job)
    if not left_behind(job, sight, sweeper):
        return
    try:
        if job.members and not job.state.final:
            ended = concluded(job, _members(job, sweeper.ledger))
            if ended is None:
                return
            job = sweeper.ledger.append(ended)
        elif job.state is State.RUNNING:
            job = sweeper.ledger.append(_lost(job, sweeper))
        elif job.overdue(sight.at):
            job = sweeper.ledger.append(job.expired(sight.at))
    except Conflict:
        return
    if job.state is State.QUEUED:
        sweeper.ledger.view.client_queues.send_again(job)
    # Inference leaves the marker of what it has settled to this one, which may delete it.
    level = logging.DEBUG if job.settled else logging.WARNING
    log.log(level, "a job left behind goes on: %s", job.state, extra={"job": job_id, "attempt": job.attempts})
    pass_on(job, sweeper.ledger, sweeper.queue)


def _members(study: Job, ledger: Ledger) -> Iterator[Job]:
    """The study's jobs as the ledger has them, without any whose files are lost."""
    for job_id in study.members:
        with suppress(NotStored):
            yield ledger.read(job_id)


def _lost(job: Job, sweeper: Sweeper) -> Job:
    detail = "The worker was lost at every attempt to analyse this image."
    return after_lost_attempt(job, sweeper.max_attempts, "worker-lost", detail)


def _chunks(job_ids: Iterator[str]) -> Iterator[Sequence[str]]:
    while chunk := list(islice(job_ids, CHUNK)):
        yield chunk
