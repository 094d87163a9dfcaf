"""Sweep: find what was left behind, by its `pending` marker, and send it on its way again."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from jobs.deletion import erase_leftovers
from jobs.errors import Conflict, NotStored, QueueUnavailable, StoreUnavailable
from jobs.handover import after_lost_attempt, pass_on
from jobs.ids import made_at
from jobs.job import LEFTOVER_GRACE, Job, now
from jobs.ledger import Ledger
from jobs.queue import ANALYSE_TASK, JobQueue
from jobs.states import State
from jobs.study import concluded

log = logging.getLogger(__name__)

CHUNK = 200
MESSAGE_GRACE = 5
"""Seconds for which a message may be just between two places."""
HEARTBEAT_GRACE = timedelta(seconds=5)
"""A worker is gone once its heartbeat has been missing for so long; after a wipe of Redis all are missing."""
MOST_FAILURES = 3
"""Jobs for which the object store may fail before a round ends: then it is the store, not the job."""
DOUBT = timedelta(seconds=10)
"""A job that the view shows at work for longer is looked up in the ledger: most take far less."""


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

    `sent`: which waiting jobs were put into the queue, and when. `messages`: what is in the queue (task, job
    id). `gone`: the runners that are lost. `marked`: the jobs and studies that have been listed so far; a
    study comes behind all of its jobs.
    """

    at: datetime
    sent: Mapping[str, float]
    messages: frozenset[tuple[str, str]]
    gone: frozenset[str]
    marked: set[str] = field(default_factory=set)


def sweep(sweeper: Sweeper) -> None:
    """One round over every job with something left to do. Two sweepers may run at once.

    Raises TransientError where a store does not answer; the next round starts anew.
    """
    at = now()
    alive = sweeper.ledger.view.heartbeats.alive()
    gone = {runner for runner, since in sweeper.missing.items() if at - since > HEARTBEAT_GRACE} - alive
    lines = sweeper.ledger.view.lines
    messages = frozenset(sweeper.queue.waiting())
    sight = Sight(at, lines.sent(), messages, frozenset(gone))
    runners, failures = set(), 0
    for job_ids in _chunks(sweeper.ledger.pending()):
        sight.marked.update(job_ids)
        shown = sweeper.ledger.view.get_many(job_ids)
        for job_id, job in zip(job_ids, shown, strict=True):
            if job and job.state is State.RUNNING and job.runner:
                runners.add(job.runner)
            if job is None or _doubtful(job, sight) or left_behind(job, sight, sweeper.running_limit):
                failures += not _tried(job_id, sight, sweeper)
                if failures == MOST_FAILURES:
                    raise StoreUnavailable("the object store failed for several jobs")
    for client, priority in lines.all():
        sweeper.queue.feed(client, priority)
    for client in sweeper.ledger.view.deliveries.clients():
        sweeper.queue.feed_deliveries(client)
    for runner in sweeper.missing.keys() - (runners - alive):
        del sweeper.missing[runner]
    for runner in runners - alive:
        sweeper.missing.setdefault(runner, at)


def _doubtful(job: Job, sight: Sight) -> bool:
    """Whether the view may lag behind the ledger: whoever ended the job could perhaps not say so."""
    at_work = job.state is State.RUNNING and not job.members
    return at_work and sight.at - (job.started_at or job.queued_at) > DOUBT


def left_behind(job: Job, sight: Sight, running_limit: timedelta) -> bool:
    """Whether nobody works on what this job needs next."""
    if job.state is State.QUEUED:
        # A job that was not sent yet waits in its client's line.
        since = sight.at.timestamp() - sight.sent.get(job.id, sight.at.timestamp())
        lost = since > MESSAGE_GRACE and (ANALYSE_TASK, job.id) not in sight.messages
        return lost or job.overdue(sight.at)
    if job.members and not job.state.final:
        # Each of its jobs has a marker until it has ended and tried to conclude the study.
        return sight.marked.isdisjoint(job.members)
    if job.state is State.RUNNING:
        held = sight.at - (job.started_at or job.queued_at)
        return held > running_limit or job.runner in sight.gone
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
        if sight.at - made_at(job_id) > LEFTOVER_GRACE:  # Still without its record.
            log.warning("an interrupted submission is erased", extra={"job": job_id})
            erase_leftovers(job_id, sweeper.ledger)
        return
    sweeper.ledger.view.put(job)
    if not left_behind(job, sight, sweeper.running_limit):
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
        sweeper.ledger.view.lines.forget_sent(job)
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
