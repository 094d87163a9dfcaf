"""The least pace of a client that sends or takes bytes, judged over windows: a short pause costs nothing."""

from dataclasses import dataclass, field
from time import monotonic

WINDOW = 10.0
"""Seconds over which a pace is judged."""


@dataclass
class Pace:
    """A transfer that begins now. `rate`: bytes a second at least; `seconds`: how long it may take."""

    rate: float
    seconds: float
    began: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self._window, self._before = self.began, 0

    def too_slow(self, now: float, moved: int) -> bool:
        """Whether the transfer must end, where `moved` bytes went over the line in all."""
        if now - self.began > self.seconds:
            return True
        if now - self._window < WINDOW:
            return False
        slow = moved - self._before < self.rate * (now - self._window)
        self._window, self._before = now, moved
        return slow
