"""Queues requests with a complete body for slots, in one queue for each client."""

from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class RequestQueues(Generic[T]):
    """`most` slots, of which one client has at most `each`, and the queues of the clients for them.

    Only the event loop uses it: it has no lock.
    """

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._used: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def add(self, client: str, one: T) -> None:
        """Add `one` to the end of its client's queue."""
        self._waiting.setdefault(client, deque()).append(one)

    def remove(self, client: str, one: T) -> None:
        """Remove `one` from its client's queue."""
        self._waiting[client].remove(one)
        if not self._waiting[client]:
            del self._waiting[client]

    def next(self) -> T | None:
        """Take the next request and a slot for it, from each client in turn; None without a free slot."""
        if self._used.total() >= self._most:
            return None
        for client, queue in self._waiting.items():
            if self._used[client] < self._each:
                one = queue.popleft()
                self._used[client] += 1
                self._waiting.move_to_end(client)
                if not queue:
                    del self._waiting[client]
                return one
        return None

    def free(self, client: str) -> None:
        """Give back one slot of the client."""
        self._used[client] -= 1
        if not self._used[client]:
            del self._used[client]
