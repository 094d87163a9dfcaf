"""Reconcile: compare the agenda in Redis with all markers in the object store, and add what it lacks."""

import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from threading import Event

from jobs.record.errors import TransientError
from jobs.record.job import now
from jobs.store.compatibility import compare_redis
from worker.sweeper.sweep import Sight, Sweeper, check

log = logging.getLogger(__name__)

CHUNK = 1000
PAUSE = 2.0
"""Seconds between two questions whether Redis was wiped."""


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
    """Put each job that has a marker, and that the agenda lacks, on the agenda, and check it.

    Two sweepers may reconcile at once. Raises TransientError; the agenda then stays stale.
    """
    view, queue = sweeper.ledger.view, sweeper.queue
    compare_redis(view.redis)  # The mark of one that was wiped is gone as well.
    token, found = view.agenda.begin_pass(), 0
    for job_ids in _chunks(sweeper.ledger.pending()):
        lacking = set(view.agenda.missing(job_ids))
        if lacking:
            view.agenda.add(*lacking)
        found += len(lacking)
        # An open study waits there for its jobs: few enough to look at each.
        studies = {job_id for job_id in job_ids if job_id.startswith("study_")}
        check(sorted(lacking | studies), Sight(now()), sweeper)
    for client, priority in view.client_queues.all():
        queue.feed(client, priority)
    view.agenda.complete_pass(token)
    log.info("the agenda is whole; it lacked %d jobs", found)


def _chunks(job_ids: Iterator[str]) -> Iterator[Sequence[str]]:
    while chunk := list(islice(job_ids, CHUNK)):
        yield chunk
