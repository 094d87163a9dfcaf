"""Deletes what is kept no longer, and late objects of deleted jobs; does what is due for a reading."""

import logging
import time
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from threading import Event

from jobs.lifecycle.deletion import delete, erase_deleted
from jobs.reading.follow_up import follow_up
from jobs.reading.reading import KEPT_OPEN
from jobs.reading.readings import FOLLOW_UP, Readings, reading_due
from jobs.record.errors import IllegalMove, NotStored, StoreUnavailable, TransientError
from jobs.record.ids import made_at
from jobs.record.job import LEFTOVER_GRACE, Job
from jobs.record.states import State
from jobs.redis.queue import JobQueue
from jobs.store.clock import ClocksDisagree
from jobs.store.due_index import DueEntry
from jobs.store.ledger import Ledger
from jobs.store.probes import probe_due
from jobs.store.uploads import upload_due

log = logging.getLogger(__name__)

PAUSE = 15.0
"""Seconds between two rounds, unless the first has left something."""
LONGEST_ROUND = 30.0
"""Seconds after which a round leaves the rest to the next one, in which readings come first again."""
AFTER_FAILURE = timedelta(minutes=5)
"""Time after which a check is repeated for which the object store failed."""


class Round(Enum):
    """How a round has ended."""

    COMPLETE = "all that was due is done"
    CUT_SHORT = "its time was up"


def purge_until(stop: Event, ledger: Ledger, queue: JobQueue, rewrite_seconds: int) -> None:
    """Purge round after round, and have Redis rewrite its file after erasures, until `stop` is set."""
    pause = PAUSE
    while not stop.wait(pause):
        pause = PAUSE
        for work in (
            partial(purge, ledger, queue),
            partial(ledger.append_only_file.rewrite, rewrite_seconds),
        ):
            try:
                if work() is Round.CUT_SHORT:
                    pause = 0.0
            except ClocksDisagree as error:
                log.error("nothing is erased: %s", error)
            except TransientError as error:
                log.warning("this round of purging ended early: %s", error)
            except Exception:
                log.exception("this round of purging broke")


def purge(ledger: Ledger, queue: JobQueue) -> Round:
    """Make one round over what is due. Two purgers may run at once. Raises ClocksDisagree, TransientError."""
    at, until = ledger.clock.agreed(), time.monotonic() + LONGEST_ROUND
    # Readings first: they are few, and people wait for them, while a mass of deletions takes long.
    for entry in sorted(ledger.due_index.passed(at), key=lambda entry: reading_due(entry.name) is None):
        if time.monotonic() > until:
            return Round.CUT_SHORT
        try:
            again = _purge_one(entry, at, ledger, queue)
        except StoreUnavailable as error:
            # It may fail for this alone, and always. Where it fails for all, so does the next write.
            log.warning("this cannot be purged now: %s", error, extra={"job": entry.name})
            again = at + AFTER_FAILURE
        except TransientError:
            raise
        except Exception:
            log.exception("this cannot be purged", extra={"job": entry.name})
            continue
        if again:
            ledger.due_index.put(entry.name, again)
        ledger.due_index.remove(entry)
    return Round.COMPLETE


def _purge_one(entry: DueEntry, at: datetime, ledger: Ledger, queue: JobQueue) -> datetime | None:
    """Do what is due for one job, upload, probe or reading. Return when to check it again, if ever."""
    if upload := upload_due(entry.name):
        for key in upload:
            ledger.objects.delete(key)
        return None
    if reading := reading_due(entry.name):
        return follow_up(*reading, at, ledger, queue)
    if probe := probe_due(entry.name):
        ledger.records.change(probe, lambda _: None)
        return None
    try:
        job = ledger.read(entry.name)
    except NotStored:
        # It may be in intake at this moment.
        accepted = made_at(entry.name) + LEFTOVER_GRACE
        return accepted if accepted > at else None
    ledger.claims.release(job, at)
    if job.state is State.ERASED:
        erase_deleted(job, ledger)
    elif job.retention_seconds is not None and job.study is None:  # A study deletes its jobs.
        kept_until = _kept_until(job, timedelta(seconds=job.retention_seconds), at, ledger)
        if kept_until > at:
            return kept_until
        try:
            delete(job.id, ledger)
        except (IllegalMove, NotStored):
            return None  # Another process was faster.
        log.info("deleted at the end of its retention", extra={"job": job.id})
    return None


def _kept_until(job: Job, retention: timedelta, at: datetime, ledger: Ledger) -> datetime:
    """Return until when a job or study is kept: its retention after its end, and that of its readings.

    No radiograph is erased under an open reading. It ends KEPT_OPEN after it was due at the latest.
    Where it ends before, its follow-up has the job looked at in time.
    """
    ended, readings = job.finished_at or at, Readings(ledger)
    for job_id in job.members or (job.id,):
        for reading in readings.of_job(job_id):
            if reading.state.open:
                return max(reading.due_at + KEPT_OPEN, at) + FOLLOW_UP
            ended = max(ended, reading.changed_at)
    return ended + retention
