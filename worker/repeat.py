"""Repeats what fails because a store does not answer, until it succeeds or the worker is to end."""

import logging
import random
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, repeat
from threading import Event
from typing import TypeVar

from jobs.record.errors import TransientError

log = logging.getLogger(__name__)

T = TypeVar("T")


def repeated(
    work: Callable[[], T],
    passing: type[TransientError],
    pauses: Sequence[float],
    stopping: Event,
    item: str,
) -> T:
    """Do `work` until it raises no `passing` error, and return its result.

    `pauses`: seconds between two attempts; the last of them repeats. `item` is what the log names. Raises the
    error once `stopping` is set.
    """
    for pause in _with_jitter(pauses):
        try:
            return work()
        except passing as error:
            log.warning("this is tried again: %s", error, extra={"job": item})
            if stopping.wait(pause):
                raise
    raise AssertionError("the pauses have no end")


def _with_jitter(pauses: Sequence[float]) -> Iterator[float]:
    """Return endless pauses that differ a little, so that not all threads return at once."""
    return (pause * random.uniform(0.8, 1.2) for pause in chain(pauses, repeat(pauses[-1])))
