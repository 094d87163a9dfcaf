"""Says when a callback that was refused is called again, and after how many attempts it is given up."""

import random
from datetime import timedelta

SCHEDULE = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Pauses after the first, second, ... failed attempt. The attempt after the last pause is the last one."""


def is_over(attempts: int) -> bool:
    """Return whether a callback is given up after so many failed attempts."""
    return attempts > len(SCHEDULE)


def pause_after(attempts: int) -> timedelta:
    """Return the pause after so many attempts before this one.

    Jitter of a fifth either way spreads the callbacks that are called again after an outage.
    """
    return SCHEDULE[min(attempts, len(SCHEDULE) - 1)] * random.uniform(0.8, 1.2)
