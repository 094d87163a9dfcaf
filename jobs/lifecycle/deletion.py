"""Delete a job or a study: first its tombstone is written, then all else erased, whatever dies in between."""

from collections.abc import Iterable
from contextlib import suppress

from jobs.lifecycle.compare_and_set import insist
from jobs.record.errors import IllegalMove, NotStored
from jobs.record.job import LEFTOVER_GRACE, Job, now
from jobs.store.ledger import Ledger


def delete(job_id: str, ledger: Ledger) -> None:
    """Bury the job and erase all that lies under its id; the tombstone (id, client, time) stays.

    Once the tombstone is written nobody can write a further version, and the sweeper finishes what is begun
    here. What may have come late is looked for once more, when nobody is writing any more. Raises NotStored,
    IllegalMove where it is deleted already, QueueUnavailable and StoreUnavailable.
    """
    job = ledger.read(job_id)
    job.erased(now())
    ledger.mark(job)
    ledger.due_index.put(job_id, now() + LEFTOVER_GRACE)
    before, tombstone = insist(job_id, lambda job: job.erased(now()), ledger)
    # Whoever ended the job may have taken the marker away meanwhile, which alone knows of the claim.
    ledger.claims.release(before)
    bury(tombstone, ledger)


def bury(tombstone: Job, ledger: Ledger) -> None:
    """Erase all that belongs to a tombstone: a study's jobs first, as its marker leads back to them."""
    _delete_all(tombstone.members, ledger)
    ledger.erase(tombstone)


def erase_leftovers(job_id: str, ledger: Ledger) -> None:
    """Remove what an interrupted submission left, with those jobs of a study that were accepted already."""
    with suppress(NotStored):  # Another sweeper was faster.
        _delete_all(ledger.marked(job_id).members, ledger)
    ledger.erase_leftovers(job_id)


def _delete_all(job_ids: Iterable[str], ledger: Ledger) -> None:
    for job_id in job_ids:
        # Its own marker leads to what else may lie there.
        with suppress(NotStored, IllegalMove):
            delete(job_id, ledger)
