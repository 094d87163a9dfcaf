"""What a job needs next, once its state has changed: shared by whoever changes it."""

from contextlib import suppress

from jobs.lifecycle.deletion import bury
from jobs.record.errors import Conflict, NotStored
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.record.study import concluded
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger


def after_lost_attempt(job: Job, max_attempts: int, type_: str, detail: str) -> Job:
    """A running job whose attempt came to nothing: back into the queue, or failed after the last attempt."""
    if job.attempts >= max_attempts:
        return job.failed(type_, detail, now())
    return job.handed_back(now())


def pass_on(job: Job, ledger: Ledger, queue: JobQueue) -> None:
    """Send a job that has just changed state to whoever is next."""
    if job.state is State.QUEUED:
        queue.feed(job.client, job.priority)
    elif job.state is State.ERASED:
        bury(job, ledger)
    elif job.owes_callback:
        queue.feed_deliveries(job.client)
    else:
        if job.study:
            _conclude(job.study, ledger, queue)
        ledger.settle(job)


def _conclude(study_id: str, ledger: Ledger, queue: JobQueue) -> None:
    """End the study if the view shows that all of its jobs have ended; what it misses, the sweeper sees."""
    with suppress(NotStored, Conflict):
        study = ledger.current(study_id)
        ended = concluded(study, ledger.current_many(study.members))
        if ended:
            pass_on(ledger.append(ended), ledger, queue)
