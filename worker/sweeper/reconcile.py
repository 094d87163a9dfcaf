"""Compares the agenda in Redis with all markers in the object store, and adds what the agenda lacks."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from threading import Event

from jobs.reading.readings import Readings
from jobs.record.errors import NotStored, StoreUnavailable, TransientError
from jobs.record.ids import is_id
from jobs.store.compatibility import compare_redis
from jobs.store.ledger import Ledger
from worker.sweeper.sweep import Round, Sweeper, check

log = logging.getLogger(__name__)

CHUNK = 1000
PAUSE = 2.0
"""Seconds between two checks whether Redis was wiped."""


def reconcile_until(stop: Event, sweeper: Sweeper, seconds: float) -> None:
    """Reconcile after a wipe, a restart or a failover of Redis, and every `seconds`, until `stop` is set."""
    while not stop.wait(PAUSE):
        try:
            if sweeper.ledger.view.agenda.stale(seconds):
                reconcile(sweeper)
        except TransientError as error:
            log.warning("this reconciliation ended early: %s", error)
        except Exception:
            log.exception("this reconciliation broke")


def reconcile(sweeper: Sweeper) -> None:
    """Add each job that has a marker, and that the agenda lacks, to the agenda, and check it.

    Two sweepers may reconcile at once. Raises TransientError; the agenda then stays stale.
    """
    view, queue = sweeper.ledger.view, sweeper.queue
    compare_redis(view.redis)  # A wipe has removed the mark as well.
    token, found = view.agenda.begin_pass(), 0
    for job_ids in _chunks(sweeper.ledger.pending()):
        lacking = set(view.agenda.missing(job_ids))
        if lacking:
            view.agenda.add(*lacking)
        found += len(lacking)
        # A running study waits on the agenda for its jobs. There are few, so each is checked.
        studies = {job_id for job_id in job_ids if is_id("study", job_id)}
        if checked := sorted(lacking | studies):
            # By the clock that is furthest behind, as in a sweep.
            check(checked, Round(sweeper.ledger.clock.earliest()), sweeper)
    for client, priority in view.client_queues.all():
        queue.feed(client, priority)
    restore_figures(sweeper.ledger)
    view.agenda.complete_pass(token)
    log.info("the agenda is whole; it lacked %d jobs", found)


def restore_figures(ledger: Ledger) -> None:
    """Show each open reading in the figures that lack it, and none that is open no more."""
    readings, figures = Readings(ledger), ledger.view.reading_figures
    listed, shown = set(readings.index.queued()), figures.open()
    for reading_id in listed ^ shown:
        try:
            readings.show(readings.read(reading_id))
        except NotStored:
            figures.hide(reading_id)
        except StoreUnavailable as error:  # It may fail for this reading alone, and always.
            log.warning("the figures of the readings lack one: %s", error)


def _chunks(job_ids: Iterator[str]) -> Iterator[Sequence[str]]:
    while chunk := list(islice(job_ids, CHUNK)):
        yield chunk
