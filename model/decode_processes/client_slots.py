"""Shares decode slots among clients in turn: many files of one client delay no first file of another."""

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock


class ClientSlots:
    """Lends `slots` to clients for a while. One client holds all but one of several at most."""

    def __init__(self, slots: int) -> None:
        """Begin with all slots free."""
        self._free = slots
        self._most = max(1, slots - 1)
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[Event]] = {}
        """The queue of each client; the next slot is for the first client that may hold one more."""
        self._lock = Lock()

    @contextmanager
    def hold(self, client: str, seconds: float) -> Iterator[None]:
        """Hold a slot for this client until the block ends. Raises TimeoutError after `seconds`."""
        given = Event()
        with self._lock:
            self._waiting.setdefault(client, deque()).append(given)
            self._lend()
        if not given.wait(seconds) and self._withdraw(client, given):
            raise TimeoutError
        try:
            yield
        finally:
            with self._lock:
                self._free += 1
                self._held[client] -= 1
                if not self._held[client]:
                    del self._held[client]
                self._lend()

    def waiting(self, client: str) -> int:
        """Count this client's threads that wait for a slot."""
        with self._lock:
            return len(self._waiting.get(client, ()))

    def _withdraw(self, client: str, given: Event) -> bool:
        """Leave the queue; False where the slot was lent in the last moment."""
        with self._lock:
            if given.is_set():
                return False
            self._waiting[client].remove(given)
            if not self._waiting[client]:
                del self._waiting[client]
            return True

    def _lend(self) -> None:
        while self._free:
            client = next((one for one in self._waiting if self._held[one] < self._most), None)
            if client is None:
                return
            queue = self._waiting.pop(client)
            queue.popleft().set()
            if queue:
                self._waiting[client] = queue  # Behind the others.
            self._free -= 1
            self._held[client] += 1
