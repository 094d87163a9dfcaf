"""Shares a few places out among clients in turn, so that one client's crowd holds up no other's first."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class Turns:
    """Gives `places` to clients for a while; one client holds all but one of several at most."""

    def __init__(self, places: int) -> None:
        """Begin with all places free."""
        self._free = places
        self._most = max(1, places - 1)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Event]] = {}
        """Who waits, the client whose turn is next before the others."""
        self._lock = Lock()

    @contextmanager
    def turn(self, client: str, seconds: float) -> Iterator[None]:
        """Hold a place of this client's until the block ends. Raises TimeoutError after `seconds`."""
        given = Event()
        with self._lock:
            self._waiting.setdefault(client, deque()).append(given)
            self._give()
        if not given.wait(seconds) and self._left(client, given):
            raise TimeoutError
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[client] -= 1
                if not self._held[client]:
                    del self._held[client]
                self._give()

    def waiting(self, client: str) -> int:
        """Say how many turns of this client's wait."""
        with self._lock:
            return len(self._waiting.get(client, ()))

    def _left(self, client: str, given: Event) -> bool:
        """Wait no longer; False where the place was given in the last moment."""
        with self._lock:
            if given.is_set():
                return False
            self._waiting[client].remove(given)
            if not self._waiting[client]:
                del self._waiting[client]
            return True

    def _give(self) -> None:
        while self._free:
            client = next((one for one in self._waiting if self._held[one] < self._most), None)
            if client is None:
                return
            line = self._waiting.pop(client)
            line.popleft().set()
            if line:
                self._waiting[client] = line  # Behind the others.
            self._free -= 1
            self._held[client] += 1
