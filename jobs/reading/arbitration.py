"""Requests a reading by another reader where the first one disagrees with the model, and it matters."""

from contextlib import suppress

from jobs.reading.disagreement import calls_for_another
from jobs.reading.events import tell
from jobs.reading.policy import Policies
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.record.errors import NotStored
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger


def arbitrate(reading: Reading, ledger: Ledger, queue: JobQueue) -> None:
    """Request the arbitration that a signed reading's grade calls for, once. Raises StoreUnavailable."""
    if not calls_for_another(reading):
        return
    with suppress(NotStored):  # The job was deleted meanwhile.
        job = ledger.current(reading.job)
        requested = Readings(ledger).request(
            job,
            Policies(ledger.records).of(job.client),
            arbitrates=reading,
            priority=reading.priority,
            question=reading.question,
            callback_url=reading.callback_url,
        )
        tell(requested, ledger, queue)
