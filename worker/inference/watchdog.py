"""Ends a worker in which an analysis hangs: a thread cannot be stopped, and its process can."""

import faulthandler
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

log = logging.getLogger(__name__)

_ROUND_SECONDS = 1.0


class Watchdog:
    """Once started, ends the process when a job is at work for over `seconds`, or no Python runs for so long.

    The sweeper then misses the heartbeat and hands the jobs back; whoever started the worker starts it again.
    faulthandler keeps the time outside Python, so that code which never gives up the interpreter's lock is
    ended, too, and writes where every thread stood to standard error.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._since: dict[str, float] = {}
        self._stopped = Event()

    @contextmanager
    def at_work(self, job_id: str) -> Iterator[None]:
        """Watch this job until the block ends."""
        self._since[job_id] = time.monotonic()
        try:
            yield
        finally:
            del self._since[job_id]

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer: what is left ends in order."""
        self._stopped.set()

    def _run(self) -> None:
        # Celery puts something without a descriptor into the place of sys.stderr.
        error = sys.__stderr__ or 2
        while not self._overdue():
            # Wound up anew each round; it goes off where nobody comes to do so.
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=error)
            if self._stopped.wait(_ROUND_SECONDS):
                faulthandler.cancel_dump_traceback_later()
                return
        faulthandler.dump_traceback(error)
        os._exit(1)

    def _overdue(self) -> bool:
        limit = time.monotonic() - self._seconds
        overdue = [job_id for job_id, since in list(self._since.items()) if since < limit]
        for job_id in overdue:
            log.error("this analysis takes too long; the worker ends itself", extra={"job": job_id})
        return bool(overdue)
