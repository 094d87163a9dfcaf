"""Analyse suspects, the jobs that lost an attempt before, one at a time: any of them may kill the worker."""

import logging
from collections import deque
from collections.abc import Callable
from threading import Event, Lock

log = logging.getLogger(__name__)


class Suspects:
    """The suspects of one worker. One thread analyses them all in turn; every other thread stays free."""

    def __init__(self, stopping: Event) -> None:
        """`stopping`: set once this worker is to end; it then begins no further suspect."""
        self._stopping = stopping
        self._lock = Lock()
        self._waiting: deque[str] = deque()
        self._busy = False

    def analyse(self, job_id: str, work: Callable[[str], None]) -> None:
        """Do `work` for this job, and for those that come meanwhile; or leave it to the thread that does.

        A job that is left to it has no message any more: if this worker ends first, the sweeper sends one.
        """
        with self._lock:
            if job_id not in self._waiting:
                self._waiting.append(job_id)
            if self._busy:
                return
            self._busy = True
        while (suspect := self._next()) is not None:
            try:
                work(suspect)
            except Exception:
                # The sweeper takes it up again. The others are not at fault.
                log.exception("the analysis of a suspect broke off", extra={"job": suspect})

    def _next(self) -> str | None:
        with self._lock:
            if self._waiting and not self._stopping.is_set():
                return self._waiting.popleft()
            self._busy = False
            return None
