"""Ends a worker process in which an analysis or a load hangs, because a thread cannot be stopped."""

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
    """Ends the process when an analysis takes over `seconds`, or when no Python code runs for so long.

    The sweeper then misses the heartbeat and puts the jobs back into the queue. The supervisor (Docker or
    `make up`) starts the worker again. faulthandler keeps the time outside Python, so that it also ends code
    which never releases the interpreter's lock. It writes the stack of every thread to standard error.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}
        self._stopped = Event()

    @contextmanager
    def at_work(self, name: str, seconds: float | None = None) -> Iterator[None]:
        """Watch this job, or other work with another limit in `seconds`, until the block ends."""
        self._until[name] = time.monotonic() + (seconds or self._seconds)
        try:
            yield
        finally:
            del self._until[name]

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        Thread(target=self._run, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching, so that the worker can end in order."""
        self._stopped.set()

    def _run(self) -> None:
        # Celery replaces sys.stderr by an object without a file descriptor.
        error = sys.__stderr__ or 2
        while not self._overdue():
            # Set anew each round. It ends the process if this thread no longer does so.
            faulthandler.dump_traceback_later(self._seconds, exit=True, file=error)
            if self._stopped.wait(_ROUND_SECONDS):
                faulthandler.cancel_dump_traceback_later()
                return
        # Two threads that write at the same time would mix their lines.
        faulthandler.cancel_dump_traceback_later()
        faulthandler.dump_traceback(error)
        os._exit(1)

    def _overdue(self) -> bool:
        now = time.monotonic()
        overdue = [name for name, until in list(self._until.items()) if until < now]
        for name in overdue:
            log.error("this work takes too long; the worker ends itself", extra={"job": name})
        return bool(overdue)
