"""Enforces the least rate at which a client sends or takes bytes, over windows that allow short pauses."""

from dataclasses import dataclass, field
from time import monotonic

WINDOW = 10.0
"""Seconds over which a rate is measured."""


@dataclass
class LeastRate:
    """The limits of a transfer that begins now: at least `rate` bytes a second, at most `seconds` in all."""

    rate: float
    seconds: float
    began: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self._window, self._before = self.began, 0

    def too_slow(self, now: float, moved: int) -> bool:
        """Return whether the transfer must end. `moved`: all bytes that were transferred so far."""
        if now - self.began > self.seconds:
            return True
        if now - self._window < WINDOW:
            return False
        slow = moved - self._before < self.rate * (now - self._window)
        self._window, self._before = now, moved
        return slow
