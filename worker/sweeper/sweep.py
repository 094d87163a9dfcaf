"""Checks the jobs that are due, by the agenda, and restarts those that no process works on."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice

from jobs.lifecycle.deletion import erase_leftovers
from jobs.lifecycle.next_step import after_lost_attempt, start_next_step
from jobs.record.errors import Conflict, NotStored, QueueUnavailable, StoreUnavailable
from jobs.record.ids import made_at
from jobs.record.job import LEFTOVER_GRACE, Job, now
from jobs.record.states import Kind, State
from jobs.record.study import concluded
from jobs.redis.agenda import AGAIN, DOUBT
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

CHUNK = 50
_HEARTBEAT_GRACE = timedelta(seconds=5)
"""Time for which a heartbeat is missing before its worker is lost. After a wipe of Redis all are missing."""
_MOST_FAILURES = 3
"""Jobs in a row for which the object store may fail before a round ends: the fault is then with the store."""
_LONGEST_PAUSE = timedelta(minutes=10)
"""Longest time for which a job is left alone because the object store has failed for it."""


@dataclass(frozen=True)
class Sweeper:
    """What the sweeper needs."""

    ledger: Ledger
    queue: JobQueue
    max_attempts: int
    running_limit: timedelta
    missing: dict[str, datetime] = field(default_factory=dict)
    """The runners without a heartbeat, and when that was first seen."""
    failing: dict[str, tuple[datetime, datetime]] = field(default_factory=dict)
    """The jobs that the object store fails for: when it first did, and when it last did."""

    def leaves_alone(self, job_id: str, at: datetime) -> bool:
        """Return whether a job is left alone: for as long as the object store had failed for it.

        A job that the store can never serve is so tried ever less often, and holds up no other.
        """
        first, last = self.failing.get(job_id, (at, at))
        return at - last < min(last - first, _LONGEST_PAUSE)


@dataclass(frozen=True)
class Round:
    """What was known besides the jobs when a chunk of a round began.

    `lost`: the waiting jobs whose messages were lost. `gone`: the runners that are lost.
    """

    at: datetime
    lost: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()


def sweep(sweeper: Sweeper) -> None:
    """Make one round: check the jobs that are due, and those whose message or worker is lost.

    Its cost depends on what has changed, and not on how many jobs are stored. Two sweepers may run at once.
    Raises TransientError where a store does not answer; the next round starts anew.
    """
    ledger = sweeper.ledger
    # By the clock that is furthest behind, so that a clock ahead ends and erases nothing early.
    at = until = ledger.clock.earliest()
    for job_id, (_, last) in list(sweeper.failing.items()):
        if at - last > 2 * _LONGEST_PAUSE:  # It has ended meanwhile, or was deleted.
            sweeper.failing.pop(job_id, None)
    while True:
        # Before each chunk: after an outage thousands are due, and no job of a lost worker waits for them.
        this_round = _restart_lost(at, sweeper)
        unseen = _add_unseen(until, ledger)
        due = ledger.view.agenda.take(until.timestamp(), CHUNK)
        check(due, this_round, sweeper)
        if max(unseen, len(due)) < CHUNK:
            break
        at = max(at, ledger.clock.earliest())
    _feed(ledger, sweeper.queue)


def _restart_lost(at: datetime, sweeper: Sweeper) -> Round:
    """Restart the jobs whose message or worker is lost. Return what was found, for checks of other jobs."""
    ledger, queue = sweeper.ledger, sweeper.queue
    view, gone = ledger.view, _lost_runners(sweeper, at)
    this_round = Round(at, frozenset(queue.lost()), gone)
    _feed(ledger, queue)
    check(this_round.lost, this_round, sweeper)
    for runner in gone:
        if job_ids := view.jobs_of_runner(runner):
            check(job_ids, this_round, sweeper)
        else:
            view.heartbeats.forget(runner)
    return this_round


def _add_unseen(due: datetime, ledger: Ledger) -> int:
    """Add a chunk of the jobs that Redis has missed to the agenda, as due by `due`. Return how many."""
    unseen = list(islice(ledger.unseen.ids(), CHUNK))
    for job_id in unseen:
        # A second sooner: the agenda adds the time to a later reading of the clock.
        ledger.view.agenda.add(job_id, after=due - now() - timedelta(seconds=1))
        ledger.unseen.remove(job_id)
    return len(unseen)


def _feed(ledger: Ledger, queue: JobQueue) -> None:
    """Send the next jobs and callbacks to workers, of each client whose queues have changed."""
    for client, priority in ledger.view.client_queues.unfed():
        queue.feed(client, priority)
    for client in ledger.view.delivery_queues.clients():
        queue.feed_deliveries(client)


def _lost_runners(sweeper: Sweeper, at: datetime) -> frozenset[str]:
    """Return the runners that are lost: their heartbeats have been missing for long enough."""
    missing = sweeper.ledger.view.heartbeats.missing()
    for runner in sweeper.missing.keys() - missing:
        del sweeper.missing[runner]
    for runner in missing:
        sweeper.missing.setdefault(runner, at)
    return frozenset(runner for runner, since in sweeper.missing.items() if at - since > _HEARTBEAT_GRACE)


def check(job_ids: Iterable[str], this_round: Round, sweeper: Sweeper) -> None:
    """Restart those of the jobs that no process works on. Raises TransientError."""
    view, failures = sweeper.ledger.view, 0
    for chunk in _chunks(iter(job_ids)):
        for job_id, job in zip(chunk, view.get_many(chunk), strict=True):
            if sweeper.leaves_alone(job_id, this_round.at):
                continue
            if job is None or _is_doubtful(job, this_round) or is_stuck(job, this_round, sweeper):
                failures = 0 if _try_to_restart(job_id, this_round, sweeper) else failures + 1
                if failures == _MOST_FAILURES:
                    raise StoreUnavailable("the object store failed for several jobs in a row")
            elif job.kind is not Kind.STUDY:
                view.agenda.later(job)


def _is_doubtful(job: Job, this_round: Round) -> bool:
    """Return whether the view may lag behind the ledger: Redis may have missed the end of the job."""
    at_work = job.state is State.RUNNING and job.kind is Kind.JOB
    return at_work and this_round.at - (job.started_at or job.queued_at) > DOUBT


def is_stuck(job: Job, this_round: Round, sweeper: Sweeper) -> bool:
    """Return whether no process works on the next step of this job."""
    if job.state is State.QUEUED:
        return job.id in this_round.lost or job.overdue(this_round.at)
    if job.kind is Kind.STUDY and not job.state.final:
        # Each of its jobs is on the agenda until it has ended and has tried to end the study.
        return not sweeper.ledger.view.agenda.waits(job)
    if job.state is State.RUNNING:
        elapsed = this_round.at - (job.started_at or job.queued_at)
        return elapsed > sweeper.running_limit or job.runner in this_round.gone
    # The view has put a callback that is owed into its delivery queue.
    return not job.owes_callback


def _try_to_restart(job_id: str, this_round: Round, sweeper: Sweeper) -> bool:
    """Restart one job, and log any error. Return False if the object store failed."""
    try:
        _restart(job_id, this_round, sweeper)
    except QueueUnavailable:
        raise
    except StoreUnavailable as error:
        log.warning("this job cannot be swept now: %s", error, extra={"job": job_id})
        first, _ = sweeper.failing.get(job_id, (this_round.at, this_round.at))
        sweeper.failing[job_id] = first, this_round.at
        return False
    except Exception:
        log.exception("this job cannot be swept", extra={"job": job_id})
    sweeper.failing.pop(job_id, None)
    return True


def _restart(job_id: str, this_round: Round, sweeper: Sweeper) -> None:
    try:
        job = sweeper.ledger.read(job_id)
    except NotStored:
        age = this_round.at - made_at(job_id)
        if age > LEFTOVER_GRACE:  # It still has no record.
            log.warning("an interrupted submission is erased", extra={"job": job_id})
            erase_leftovers(job_id, sweeper.ledger)
        elif age > 2 * AGAIN:
            sweeper.ledger.view.agenda.postpone(job_id, age / 2)
        return
    sweeper.ledger.view.put(job)
    if not is_stuck(job, this_round, sweeper):
        return
    lost = None
    try:
        if job.kind is Kind.STUDY and not job.state.final:
            ended = concluded(job, _members(job, sweeper.ledger))
            if ended is None:
                return
            job = sweeper.ledger.append(ended)
        elif job.state is State.RUNNING:
            lost, job = job, sweeper.ledger.append(_after_lost_worker(job, sweeper))
        elif job.overdue(this_round.at):
            job = sweeper.ledger.append(job.expired(this_round.at))
    except Conflict:
        return
    if job.state is State.QUEUED:
        sweeper.ledger.view.client_queues.send_again(job)
    # Inference has no right to delete, and leaves the markers of settled jobs to the sweeper.
    level = logging.DEBUG if job.settled else logging.WARNING
    log.log(level, "a job is restarted: %s", job.state, extra={"job": job_id, "attempt": job.attempts})
    start_next_step(job, sweeper.ledger, sweeper.queue)
    if lost:
        with suppress(QueueUnavailable):  # Flower alone misses it.
            sweeper.queue.report_lost(lost)


def _members(study: Job, ledger: Ledger) -> Iterator[Job]:
    """Return the study's jobs from the ledger, without those that are not stored."""
    for job_id in study.members:
        with suppress(NotStored):
            yield ledger.read(job_id)


def _after_lost_worker(job: Job, sweeper: Sweeper) -> Job:
    detail = "The worker was lost at every attempt to analyse this image."
    return after_lost_attempt(job, sweeper.max_attempts, "worker-lost", detail)


def _chunks(job_ids: Iterator[str]) -> Iterator[Sequence[str]]:
    while chunk := list(islice(job_ids, CHUNK)):
        yield chunk
