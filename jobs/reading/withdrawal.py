"""Cancels the open readings of a job that was canceled or deleted, or whose image no reader can see."""

from contextlib import suppress

from jobs.reading.events import tell
from jobs.reading.reading import no_reading_because
from jobs.reading.readings import Readings
from jobs.reading.states import CancelReason, ReadingState
from jobs.record.errors import IllegalMove, NotStored
from jobs.record.job import Job, now
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger


def withdraw_readings(job: Job, ledger: Ledger, queue: JobQueue) -> None:
    """Cancel the open readings of a job that no person is to read, or can. Of any other job do nothing.

    Raises StoreUnavailable and QueueUnavailable: the sweeper then tries again.
    """
    because = no_reading_because(job)
    if because is None:
        return
    if ledger.may_delete:
        cancel_open(job.id, because, ledger, queue)
    else:  # Inference may remove no entry of a worklist: the sweeper does it.
        Readings(ledger).check_soon(job.id)


def cancel_open(job_id: str, because: CancelReason, ledger: Ledger, queue: JobQueue | None) -> None:
    """Cancel the open readings of a job, and tell their client. A reading that is signed first stays.

    Without a `queue` the sweeper feeds the events to delivery. Raises as `withdraw_readings` does.
    """
    readings = Readings(ledger)
    for reading in readings.of_job(job_id):
        if reading.state.open:
            with suppress(IllegalMove, NotStored):
                reading = readings.change(reading, lambda present: present.canceled(now(), because))
        if reading.state is ReadingState.CANCELED:
            # Once more for one that a process canceled which died before it told of it.
            tell(reading, ledger, queue)
