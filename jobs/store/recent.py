"""What was read a moment ago, for whoever reads the same again and again; a moment late is what it costs."""

import time
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")

MOST = 10_000


class Recent(Generic[Value]):
    """Remembers values for `seconds`; 0 remembers nothing. Any thread may call it."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._known: dict[str, tuple[Value, float]] = {}

    def get(self, key: str, read: Callable[[], Value]) -> Value:
        """The value of `key`: what was read of it just now, else what `read` returns."""
        value, until = self._known.get(key, (None, 0.0))
        if value is not None and time.monotonic() < until:
            return value
        return self.put(key, read())

    def put(self, key: str, value: Value) -> Value:
        """Remember `value`, which is known from elsewhere."""
        if self._seconds:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[key] = (value, time.monotonic() + self._seconds)
        return value
