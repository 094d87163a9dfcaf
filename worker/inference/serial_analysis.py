"""Analyses jobs that lost an attempt before one at a time: any of them may have killed its worker."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Lock

log = logging.getLogger(__name__)


class SerialAnalysis:
    """The jobs of one worker that are analysed one at a time. One thread does so; the others stay free."""

    def __init__(self, stopping: Event) -> None:
        """`stopping`: set once this worker is to end. No further job is begun then."""
        self._stopping = stopping
        self._lock = Lock()
        self._waiting: deque[str] = deque()
        self._busy = False

    def analyse(self, job_id: str, work: Callable[[str], None]) -> None:
        """Do `work` for this job and for those that come meanwhile. If another thread does, leave it to that.

        A job that is left to another thread has no message any more. If this worker ends before the job is
        begun, the sweeper sends a new message.
        """
        with self._lock:
            if job_id not in self._waiting:
                self._waiting.append(job_id)
            if self._busy:
                return
            self._busy = True
        while (next_id := self._next()) is not None:
            try:
                work(next_id)
            except Exception:
                # The sweeper restarts this job. The others go on.
                log.exception("an analysis after a lost attempt broke off", extra={"job": next_id})

    def _next(self) -> str | None:
        with self._lock:
            if self._waiting and not self._stopping.is_set():
                return self._waiting.popleft()
            self._busy = False
            return None
