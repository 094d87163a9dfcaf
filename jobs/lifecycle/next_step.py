"""Starts the next step of a job whose state has changed: analysis, delivery, erasure or settlement."""

from contextlib import suppress

from jobs.lifecycle.deletion import erase_deleted
from jobs.lifecycle.reading_request import request_reading, settle
from jobs.record.errors import Conflict, NotStored
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.record.study import concluded
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger


def after_lost_attempt(job: Job, max_attempts: int, type_: str, detail: str) -> Job:
    """Return a running job after a lost attempt: back in the queue, or failed after the last attempt."""
    if job.attempts >= max_attempts:
        return job.failed(type_, detail, now())
    return job.handed_back(now())


def start_next_step(job: Job, ledger: Ledger, queue: JobQueue) -> None:
    """Start the next step of a job that has just changed its state."""
    if job.state is State.QUEUED:
        queue.feed(job.client, job.priority)
    elif job.state is State.ERASED:
        erase_deleted(job, ledger)
    elif job.owes_callback:
        queue.feed_deliveries(job.client)
        request_reading(job, ledger, queue)
    else:
        if job.study:
            _conclude(job.study, ledger, queue)
        settle(job, ledger, queue)


def _conclude(study_id: str, ledger: Ledger, queue: JobQueue) -> None:
    """End the study if all of its jobs have ended, as the view shows. The sweeper ends those missed here."""
    with suppress(NotStored, Conflict):
        study = ledger.current(study_id)
        ended = concluded(study, ledger.current_many(study.members))
        if ended:
            start_next_step(ledger.append(ended), ledger, queue)
