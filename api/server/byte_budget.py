"""How many bytes of bodies are kept at once, in all and for one client."""

from collections import Counter


class Budget:
    """Room for `most` bytes, of which one client takes `each` at most. For the event loop alone."""

    def __init__(self, most: int, each: int) -> None:
        self._most, self._each = most, each
        self._kept: Counter[str] = Counter()

    def take(self, client: str, count: int) -> bool:
        """Whether there is room for so many more bytes; they are counted if so."""
        if self._kept.total() + count > self._most or self._kept[client] + count > self._each:
            return False
        self._kept[client] += count
        return True

    def give(self, client: str, count: int) -> None:
        """Note that so many bytes are gone."""
        self._kept[client] -= count
        if not self._kept[client]:
            del self._kept[client]
