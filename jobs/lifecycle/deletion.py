"""Deletes a job or a study: writes its tombstone first, and then erases all else."""

from collections.abc import Iterable
from contextlib import suppress

from jobs.lifecycle.compare_and_set import change_job
from jobs.reading.readings import Readings
from jobs.reading.states import CancelReason
from jobs.reading.withdrawal import cancel_open
from jobs.record.errors import IllegalMove, NotStored
from jobs.record.ids import is_id
from jobs.record.job import LEFTOVER_GRACE, Job, now
from jobs.store.ledger import Ledger
from jobs.targets.events import announce_deletion


def delete(job_id: str, ledger: Ledger) -> None:
    """Delete the job: write its tombstone (id, client, time), and erase all else under its id.

    No process can write a further version after the tombstone. The sweeper finishes a deletion that breaks
    off. The purger erases once more after LEFTOVER_GRACE, because a slow process may write an object late.
    Before all of it targets that a signed report has confirmed are withdrawn.
    Raises NotStored, IllegalMove where the job is deleted already, QueueUnavailable and StoreUnavailable.
    """
    job = ledger.read(job_id)
    job.erased(now())
    announce_deletion(job, ledger)
    ledger.mark(job)
    ledger.due_index.put(job_id, now() + LEFTOVER_GRACE)
    before, tombstone = change_job(job_id, lambda job: job.erased(now()), ledger)
    # Once more: a process that settled the job just now has removed the first marker, which has the names.
    ledger.mark(before)
    ledger.release(before)
    erase_deleted(tombstone, ledger)


def erase_deleted(tombstone: Job, ledger: Ledger) -> None:
    """Erase all that belongs to a tombstone: the jobs of a study first, because its marker leads to them.

    The client is told of readings that were open, by an event that has ids and times alone.
    """
    _delete_all(tombstone.members, ledger)
    if is_id("job", tombstone.id):
        cancel_open(tombstone.id, CancelReason.JOB_DELETED, ledger, None)
        Readings(ledger).erase_of(tombstone.id)
    ledger.erase(tombstone)


def erase_leftovers(job_id: str, ledger: Ledger) -> None:
    """Erase what an interrupted submission left, and the jobs of a study that were accepted already."""
    with suppress(NotStored):  # Another sweeper was faster.
        _delete_all(ledger.marked(job_id).members, ledger)
    ledger.erase_leftovers(job_id)


def _delete_all(job_ids: Iterable[str], ledger: Ledger) -> None:
    for job_id in job_ids:
        # A job that is not stored may have left objects; its own marker leads the sweeper to them.
        with suppress(NotStored, IllegalMove):
            delete(job_id, ledger)
