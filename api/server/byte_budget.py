"""Limits the bytes of bodies that are stored at once, in all and for one client."""

from collections import Counter


class ByteBudget:
    """Space for `most` bytes, of which one client has at most `each`. Only the event loop uses it."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._kept: Counter[str] = Counter()

    def take(self, client: str, count: int) -> bool:
        """Count `count` more bytes of a client. Returns False, and counts none, where they exceed a limit."""
        if self._kept.total() + count > self._most or self._kept[client] + count > self._each:
            return False
        self._kept[client] += count
        return True

    def give(self, client: str, count: int) -> None:
        """Give `count` bytes of a client back."""
        self._kept[client] -= count
        if not self._kept[client]:
            del self._kept[client]
