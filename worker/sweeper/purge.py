"""Purge: delete jobs that are kept no longer, what came late for deleted ones, uploads and probes."""

import logging
from datetime import datetime, timedelta
from functools import partial
from threading import Event

from jobs.lifecycle.deletion import bury, delete
from jobs.record.errors import IllegalMove, NotStored, TransientError
from jobs.record.ids import made_at
from jobs.record.job import LEFTOVER_GRACE
from jobs.record.states import State
from jobs.store.clock import ClocksDisagree
from jobs.store.due_index import DueEntry
from jobs.store.ledger import Ledger
from jobs.store.probes import probe_due
from jobs.store.uploads import upload_due

log = logging.getLogger(__name__)

PAUSE = 15.0
"""Seconds between two rounds."""


def purge_until(stop: Event, ledger: Ledger, rewrite_seconds: int) -> None:
    """Purge round after round, and have what was erased leave Redis' file, until `stop` is set."""
    while not stop.wait(PAUSE):
        for work in (partial(purge, ledger), partial(ledger.append_only_file.rewrite, rewrite_seconds)):
            try:
                work()
            except ClocksDisagree as error:
                log.error("nothing is erased: %s", error)
            except TransientError as error:
                log.warning("this round of purging ended early: %s", error)
            except Exception:
                log.exception("this round of purging broke")


def purge(ledger: Ledger) -> None:
    """One round over what is due. Two purgers may run at once. Raises ClocksDisagree and TransientError."""
    at = ledger.clock.agreed()
    for entry in list(ledger.due_index.passed(at)):
        try:
            again = _looked_at(entry, at, ledger)
        except TransientError:
            raise
        except Exception:
            log.exception("this cannot be purged", extra={"job": entry.name})
            continue
        if again:
            ledger.due_index.put(entry.name, again)
        ledger.due_index.remove(entry)


def _looked_at(entry: DueEntry, at: datetime, ledger: Ledger) -> datetime | None:
    """Do what is due with this job, upload or probe; when to look at it again, if ever."""
    if upload := upload_due(entry.name):
        for key in upload:
            ledger.objects.delete(key)
        return None
    if probe := probe_due(entry.name):
        ledger.records.change(probe, lambda _: None)
        return None
    try:
        job = ledger.read(entry.name)
    except NotStored:
        # Perhaps it is being accepted at this very moment.
        accepted = made_at(entry.name) + LEFTOVER_GRACE
        return accepted if accepted > at else None
    ledger.claims.release(job, at)
    if job.state is State.ERASED:
        bury(job, ledger)
    elif job.retention_seconds is not None and job.study is None:  # A study takes its jobs with it.
        kept_until = (job.finished_at or at) + timedelta(seconds=job.retention_seconds)
        if kept_until > at:
            return kept_until
        try:
            delete(job.id, ledger)
        except (IllegalMove, NotStored):
            return None  # Another was faster.
        log.info("kept for as long as was asked for, and deleted", extra={"job": job.id})
    return None
