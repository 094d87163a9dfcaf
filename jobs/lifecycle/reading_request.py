"""Requests the reading that a job asks for, or cancels it. Only then is a job settled."""

from contextlib import suppress
from datetime import timedelta

from jobs.reading.events import tell
from jobs.reading.policy import Policies
from jobs.reading.reading import DUE_SECONDS
from jobs.reading.readings import Readings
from jobs.reading.states import Wish
from jobs.reading.withdrawal import withdraw_readings
from jobs.record.errors import NotStored
from jobs.record.job import Job
from jobs.record.states import Kind
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger


def request_reading(job: Job, ledger: Ledger, queue: JobQueue) -> None:
    """Request the reading of this job that its wish, its client's policy and its result ask for, once.

    One that its client has requested meanwhile, and that is open or signed, is enough. Of a job that no
    person is to read, or can, the open readings are canceled instead. Raises StoreUnavailable and
    QueueUnavailable: the sweeper then tries again.
    """
    if job.kind is not Kind.JOB:
        return  # The record of an older study has the wish of its first view, which asks for itself.
    withdraw_readings(job, ledger, queue)
    if job.reading is None:
        return
    policy = Policies(ledger.records).of(job.client)
    if not policy.asks_for(job):
        return
    readings = Readings(ledger)
    seconds = job.reading.get("due_seconds") or DUE_SECONDS[job.priority]
    with suppress(NotStored):  # The job was deleted meanwhile.
        present = [one for one in readings.of_job(job.id) if not one.arbitrates]
        enough = [one for one in present if one.state.open or one.reports]
        reading = (
            enough[0]
            if enough
            else readings.request(
                job,
                policy,
                # From the submission on: the time that the model took is not added.
                due_at=job.created_at + timedelta(seconds=seconds),
                question=job.reading.get("question"),
                wish=Wish(job.reading["wish"]),
                callback_url=url_of_readings(job, ledger),
            )
        )
        if ledger.may_delete:  # Inference has no right to write events either: the sweeper tells then.
            tell(reading, ledger, queue)


def url_of_readings(job: Job, ledger: Ledger) -> str | None:
    """Return the callback URL of a job, or of the study that it is a view of. Raises NotStored."""
    return job.callback_url or (ledger.current(job.study).callback_url if job.study else None)


def settle(job: Job, ledger: Ledger, queue: JobQueue) -> None:
    """Remove the marker of a job for which nothing is left to do. Raises as `request_reading` does."""
    request_reading(job, ledger, queue)
    ledger.settle(job)
