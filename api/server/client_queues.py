"""Whose turn it is: requests with a whole body wait here for a slot, each client in a line of its own."""

from collections import Counter, OrderedDict, deque
from typing import Generic, TypeVar

T = TypeVar("T")


class RequestQueues(Generic[T]):
    """`most` slots, of which one client has at most `each`. For the event loop alone: it takes no lock."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._used: Counter[str] = Counter()
        self._waiting: OrderedDict[str, deque[T]] = OrderedDict()

    def enter(self, client: str, one: T) -> None:
        """Put `one` at the end of its client's line."""
        self._waiting.setdefault(client, deque()).append(one)

    def leave(self, client: str, one: T) -> None:
        """Take `one` out of its line before its turn."""
        self._waiting[client].remove(one)
        if not self._waiting[client]:
            del self._waiting[client]

    def next(self) -> T | None:
        """Whose turn it is, with a slot taken; the clients take turns. None while nobody can have one."""
        if self._used.total() >= self._most:
            return None
        for client, line in self._waiting.items():
            if self._used[client] < self._each:
                one = line.popleft()
                self._used[client] += 1
                self._waiting.move_to_end(client)
                if not line:
                    del self._waiting[client]
                return one
        return None

    def free(self, client: str) -> None:
        """Give back one slot of the client's."""
        self._used[client] -= 1
        if not self._used[client]:
            del self._used[client]
