"""Does what a reading is due for: a claim that lapses, the note that it is overdue, its end, its events."""

import logging
from contextlib import suppress
from datetime import datetime, timedelta

from jobs.reading.arbitration import arbitrate
from jobs.reading.events import tell
from jobs.reading.reading import KEPT_OPEN, Reading, no_reading_because
from jobs.reading.readings import Readings
from jobs.record.errors import IllegalMove, NotStored
from jobs.record.job import Job
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)


def follow_up(reading_id: str, job_id: str, at: datetime, ledger: Ledger, queue: JobQueue) -> datetime | None:
    """Do what is due for a reading at this time, and return when to check it again, if ever."""
    readings = Readings(ledger)
    try:
        reading = readings.of(job_id, reading_id)
        job = ledger.current(job_id)
        due = _next(reading, job, at)
        if due != reading:
            # A reader may act at the same time: the present version decides once more.
            reading = readings.change(reading, lambda present: _next(present, job, at))
            log.info("reading is %s", reading.state, extra={"job": reading.job})
        # The process that changed it may have died before it did what follows.
        readings.index.put(reading)
        readings.show(reading)
        arbitrate(reading, ledger, queue)
        tell(reading, ledger, queue)
        if reading.callback_url and reading.told < (number := len(reading.history)):
            reading = readings.save(reading, lambda present: present.told_until(number))
        if not reading.state.open:
            _let_go(reading, job, ledger)
        return readings.check_again(reading, at)
    except NotStored:  # It was deleted: a process that was slower may have written entries after that.
        readings.index.forget(reading_id)
        return None


def _next(reading: Reading, job: Job, at: datetime) -> Reading:
    with suppress(IllegalMove):
        if reading.state.open and (because := no_reading_because(job)):
            return reading.canceled(at, because)
        if reading.state.open and reading.due_at + KEPT_OPEN <= at:
            return reading.expired(at)
        lapses = reading.lapses_at()
        if lapses and lapses <= at:
            return reading.released(at, lapsed=True)
        if reading.overdue(at) and not any(entry["type"] == "overdue" for entry in reading.history):
            return reading.told_overdue(at)
    return reading


def _let_go(reading: Reading, job: Job, ledger: Ledger) -> None:
    """Have the purger look at the job, or its study, once its retention after this reading is over."""
    kept = ledger.current(job.study) if job.study else job
    if kept.retention_seconds is not None:
        ledger.due_index.put(kept.id, reading.changed_at + timedelta(seconds=kept.retention_seconds))
