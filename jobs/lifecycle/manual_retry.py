"""Does once more what has ended: the analysis of a dead letter, or the delivery of a callback."""

from jobs.lifecycle.compare_and_set import change_job
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import dead_letter_key


def retry_job(job: Job, ledger: Ledger) -> Job:
    """Put a dead letter back into its client's queue, and return it as it is then.

    Raises IllegalMove where the job is no dead letter, and what `Ledger.append` raises.
    """
    retried = job.retried(now())
    ledger.mark(job)
    if job.study:
        _reopen(job.study, ledger)
    ledger.append(retried)
    ledger.mark(job)  # Once more: a process that settled the job just now has removed the first marker.
    ledger.objects.delete(dead_letter_key(job.id))
    if ledger.read(job.id).dead_letter:  # Once more: it has failed again, and was listed before the deletion.
        ledger.objects.put(dead_letter_key(job.id), b"")
    return retried


def redeliver(job: Job, ledger: Ledger) -> Job:
    """Make the callback of an ended job due at once, and return the job as it is then.

    Raises IllegalMove where the job has no callback, and what `change_job` raises.
    """
    job.redelivered(now())
    ledger.mark(job)
    _, again = change_job(job.id, lambda present: present.redelivered(now()), ledger)
    ledger.mark(job)  # Once more: a process that settled the job just now has removed the first marker.
    return again


def _reopen(study_id: str, ledger: Ledger) -> None:
    # Before its job: a study that is reopened without need is concluded again by the sweeper.
    study = ledger.read(study_id)
    if study.state in (State.SUCCEEDED, State.FAILED):
        ledger.mark(study)
        ledger.append(study.reopened())
