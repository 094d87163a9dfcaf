"""Counts slots per client: a thread takes one at once or not at all."""

from collections import Counter
from threading import Lock


class Slots:
    """`most` slots, of which one client has at most `each`. It may be used from any thread."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._used: Counter[str] = Counter()
        self._lock = Lock()

    def take(self, client: str) -> bool:
        """Take a slot for the client. Returns False where none is free for it."""
        with self._lock:
            if self._used.total() >= self._most or self._used[client] >= self._each:
                return False
            self._used[client] += 1
            return True

    def give(self, client: str) -> None:
        """Give back one slot of the client."""
        with self._lock:
            self._used[client] -= 1
            if not self._used[client]:
                del self._used[client]
