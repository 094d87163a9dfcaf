"""Analyses jobs that lost an attempt before one at a time: any of them may have killed its worker."""

import logging
from collections.abc import Callable
from threading import Event, Lock

log = logging.getLogger(__name__)

Work = Callable[[str], None]


class SerialAnalysis:
    """The jobs of one worker that are analysed one at a time. One thread does so; the others stay free."""

    def __init__(self, stopping: Event) -> None:
        """`stopping`: set once this worker is to end. No further job is begun then."""
        self._stopping = stopping
        self._lock = Lock()
        self._waiting: dict[str, Work] = {}
        self._busy = False

    def analyse(self, job_id: str, work: Work) -> None:
        """Do `work` for this job, and theirs for those that come meanwhile. A busy thread does it for others.

        A job that is left to another thread has no message any more. If this worker ends before the job is
        begun, the sweeper sends a new message.
        """
        with self._lock:
            self._waiting.setdefault(job_id, work)
            if self._busy:
                return
            self._busy = True
        while (taken := self._next()) is not None:
            next_id, next_work = taken
            try:
                next_work(next_id)
            except Exception:
                # The sweeper restarts this job. The others go on.
                log.exception("an analysis after a lost attempt broke off", extra={"job": next_id})

    def _next(self) -> tuple[str, Work] | None:
        with self._lock:
            if self._waiting and not self._stopping.is_set():
                first = next(iter(self._waiting))
                return first, self._waiting.pop(first)
            self._busy = False
            return None
