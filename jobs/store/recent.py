"""Remembers what was read of a record for a short time: frequent readers do not ask the store again."""

from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from cachetools import TTLCache

Value = TypeVar("Value")

_MOST = 10_000


class Recent(Generic[Value]):
    """Values by key, each remembered for `seconds`; 0 remembers nothing. Any thread may call it.

    A value may have changed in the store for as long: by another process.
    """

    def __init__(self, seconds: float) -> None:
        self._known: TTLCache[str, Value] = TTLCache(_MOST, seconds)
        self._lock = Lock()

    def get(self, key: str, read: Callable[[], Value]) -> Value:
        """Return the remembered value of `key`; else read it, remember it and return it."""
        with self._lock:
            known: Value | None = self._known.get(key)
        return self.put(key, read()) if known is None else known

    def put(self, key: str, value: Value) -> Value:
        """Remember `value`, which was just written or read, and return it."""
        with self._lock:
            self._known[key] = value
        return value
