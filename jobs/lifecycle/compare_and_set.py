"""Changes the latest version of a job by compare-and-set, and repeats the change after a conflict."""

import time
from collections.abc import Callable

from jobs.record.errors import Conflict, StoreUnavailable
from jobs.record.job import Job
from jobs.store.ledger import Ledger

PATIENCE = 5.0
"""Seconds after which a change is given up: the process with the write lock has died, or is very slow."""
PAUSE = 0.05


def change_job(job_id: str, change: Callable[[Job], Job], ledger: Ledger) -> tuple[Job, Job]:
    """Write what `change` makes of the latest version of a job, and return both versions.

    Where another process writes first, `change` is applied to its version. Raises what `change` raises
    (IllegalMove), NotStored, QueueUnavailable and StoreUnavailable.
    """
    until = time.monotonic() + PATIENCE
    while True:
        job = ledger.read(job_id)
        try:
            return job, ledger.append(change(job))
        except Conflict as conflict:
            if time.monotonic() > until:
                raise StoreUnavailable(f"another process is writing {job_id}") from conflict
            time.sleep(PAUSE)
