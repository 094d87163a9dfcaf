"""A change of a job that its client asks for: made to the latest version, though others change it as well."""

import time
from collections.abc import Callable

from jobs.record.errors import Conflict, StoreUnavailable
from jobs.record.job import Job
from jobs.store.ledger import Ledger

PATIENCE = 5.0
"""Seconds after which the client is told to come again: whoever has the gate has died, or is very slow."""
PAUSE = 0.05


def insist(job_id: str, change: Callable[[Job], Job], ledger: Ledger) -> tuple[Job, Job]:
    """The job before and after `change`, which is tried anew on what another has written first.

    Raises NotStored, whatever `change` raises (IllegalMove), QueueUnavailable and StoreUnavailable.
    """
    until = time.monotonic() + PATIENCE
    while True:
        job = ledger.read(job_id)
        try:
            return job, ledger.append(change(job))
        except Conflict as conflict:
            if time.monotonic() > until:
                raise StoreUnavailable(f"somebody else is writing {job_id}") from conflict
            time.sleep(PAUSE)
