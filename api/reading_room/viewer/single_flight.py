"""Reads an object once for all threads that ask for it at the same time."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock


class SingleFlight:
    """The reads under way. A page asks for a preview and for all pixels at once, of 24 MB in the store."""

    def __init__(self) -> None:
        self._reads: dict[str, Future[bytes]] = {}
        self._lock = Lock()

    def read(self, key: str, read: Callable[[], bytes]) -> bytes:
        """Call `read`, or wait for another thread's call under this key. Raises what it raises."""
        mine = Future[bytes]()
        with self._lock:
            first = self._reads.setdefault(key, mine)
        if first is mine:
            try:
                mine.set_result(read())
            except BaseException as error:
                mine.set_exception(error)
            finally:
                with self._lock:
                    del self._reads[key]
        return first.result()
