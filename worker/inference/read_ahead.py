"""Reads a radiograph while the attempt at its job is recorded, so that an idle worker answers sooner."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from threading import Lock

from jobs.record.errors import TransientError
from jobs.record.job import Job
from model.decode.radiograph import Radiograph
from model.errors import NoDecoder

MOST_BYTES = 16 * 2**20
"""Largest file, and most pixels of a byte each, that are read before the attempt is recorded."""


class ReadAhead:
    """Reads ahead for one job at a time, so that it costs a busy worker nothing. Any thread may use it.

    An attempt is recorded before anything that may end this process. What is read ahead therefore is small,
    belongs to a first attempt, and is decoded in another process.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "read-ahead")
        self._lock = Lock()

    @contextmanager
    def of(self, started: Job, read: Callable[[], Radiograph]) -> Iterator[Callable[[], Radiograph]]:
        """Yield what returns the radiograph of a job that is about to start, or raises what `read` raises.

        `read` is called at once in another thread, or only then where this job may not be read ahead. It is
        called again where a store or a decoder was missing before the radiograph was asked for: recording the
        attempt may have taken minutes.
        """
        if not _is_small(started) or started.attempts > 1 or not self._lock.acquire(blocking=False):
            yield read
            return
        future: Future[Radiograph] = self._thread.submit(copy_context().run, read)

        def result() -> Radiograph:
            was_read = future.done()
            try:
                return future.result()
            except (TransientError, NoDecoder):
                if not was_read:
                    raise
                return read()

        try:
            yield result
        finally:
            future.add_done_callback(lambda _: self._lock.release())


def _is_small(job: Job) -> bool:
    image = job.image
    return max(image.size, image.width * image.height) <= MOST_BYTES
