"""Delete a job: first its tombstone is written, then all else is erased, whatever dies in between."""

from jobs.insist import insist
from jobs.job import LEFTOVER_GRACE, now
from jobs.ledger import Ledger


def delete(job_id: str, ledger: Ledger) -> None:
    """Bury the job and erase all that lies under its id; the tombstone (id, client, time) stays.

    Once the tombstone is written nobody can write a further version, and the sweeper finishes what is begun
    here. What may have come late is looked for once more, when nobody is writing any more. Raises NotStored,
    IllegalMove where it is deleted already, QueueUnavailable and StoreUnavailable.
    """
    job = ledger.read(job_id)
    job.erased(now())
    ledger.mark(job)
    ledger.due.put(job_id, now() + LEFTOVER_GRACE)
    _, tombstone = insist(job_id, lambda job: job.erased(now()), ledger)
    ledger.erase(tombstone)
