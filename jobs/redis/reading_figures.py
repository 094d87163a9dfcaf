"""Keeps the figures of the readings in Redis: which wait, which are overdue, and how long they took.

A figure costs the same however many readings there are. A wipe of Redis sets the counts to 0. What is open is
restored from the object store.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from redis import Redis

from jobs.record.states import Priority
from jobs.redis.client import translated
from jobs.redis.script import script

BUCKETS = (300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400, 172_800, 604_800)
"""Upper bounds of the buckets of the turnaround, in seconds."""
_LAST = "+Inf"
_OPEN = "readings:open"
_KEPT = 3_600
"""Seconds for which the version of a reading that ended is known, so that an older one is not shown again."""


@dataclass(frozen=True)
class ReadingShown:
    """What the figures take of one version of a reading. Times are seconds since the epoch."""

    id: str
    client: str
    version: int
    priority: Priority
    requested_at: float
    due_at: float
    waits: bool = False
    open: bool = False
    overdue: bool = False
    turnaround: int | None = None
    """Seconds from the request to the first signature; None where it is not signed."""
    disagreement: str = "not_comparable"


@dataclass(frozen=True)
class PriorityFigures:
    """The figures of one priority, at one time."""

    waiting: int
    oldest_since: float | None
    """Since when the first of those that wait has waited."""
    overdue: int


class ReadingFigures:
    """The figures. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._show = script(redis, "show_reading")

    def show(self, reading: ReadingShown) -> None:
        """Show this version of a reading, unless a later one is shown already. Count it once it is signed."""
        waiting, due, overdue = _keys(reading.priority)
        seconds = reading.turnaround
        with translated(self._redis):
            self._show(
                keys=[f"reading:{reading.id}", waiting, due, overdue, "counts", _OPEN],
                args=[
                    *(reading.id, reading.version, reading.requested_at, reading.due_at),
                    *(int(reading.waits), int(reading.open), int(reading.overdue), _KEPT, reading.priority),
                    *("" if seconds is None else seconds, _bucket(seconds or 0), reading.disagreement),
                    reading.client,
                ],
            )

    def hide(self, reading_id: str) -> None:
        """Forget a reading that was erased. What was counted of it stays."""
        with translated(self._redis):
            members = [name for name, _ in self._redis.zscan_iter(_OPEN, f"* {reading_id}", 1000)]
            pipe = self._redis.pipeline()
            if members:
                pipe.zrem(_OPEN, *members)
            pipe.delete(f"reading:{reading_id}")
            for priority in Priority:
                waiting, due, overdue = _keys(priority)
                pipe.zrem(waiting, reading_id)
                pipe.zrem(due, reading_id)
                pipe.srem(overdue, reading_id)
            pipe.execute()

    def open(self) -> set[str]:
        """Return the ids of the readings that are shown as open."""
        with translated(self._redis):
            found: Iterable[Any] = self._redis.zrange(_OPEN, 0, -1)
        return {member.decode().partition(" ")[2] for member in found}

    def open_of(self, client: str) -> int:
        """Return how many readings of this client are shown as open."""
        with translated(self._redis):
            # "!" is the first character after the space that ends a client's name.
            count: Any = self._redis.zlexcount(_OPEN, f"[{client} ", f"({client}!")
        return int(count)

    def by_priority(self, at: float) -> dict[Priority, PriorityFigures]:
        """Return the figures of each priority at this time."""
        with translated(self._redis):
            pipe = self._redis.pipeline(transaction=False)
            for priority in Priority:
                waiting, due, _ = _keys(priority)
                pipe.zcard(waiting)
                pipe.zrange(waiting, 0, 0, withscores=True)
                pipe.zcount(due, "-inf", at)
            found = pipe.execute()
        return {
            priority: PriorityFigures(waiting, first[0][1] if first else None, overdue)
            for priority, waiting, first, overdue in zip(
                Priority, found[::3], found[1::3], found[2::3], strict=True
            )
        }


def turnaround(counts: Mapping[str, int], priority: Priority) -> tuple[Sequence[tuple[str, float]], float]:
    """Return the cumulative buckets of a priority's turnaround, by upper bound, and the sum of seconds."""
    buckets, count = [], 0
    for bound in (*map(str, BUCKETS), _LAST):
        count += counts.get(f"reading-turnaround:{priority}:{bound}", 0)
        buckets.append((bound if bound == _LAST else f"{float(bound)}", float(count)))
    return buckets, float(counts.get(f"reading-turnaround-sum:{priority}", 0))


def _bucket(seconds: int) -> str:
    place = bisect_left(BUCKETS, seconds)
    return str(BUCKETS[place]) if place < len(BUCKETS) else _LAST


def _keys(priority: Priority) -> tuple[str, str, str]:
    """Return the keys of the readings that wait, are open by due time, and were counted as overdue."""
    return f"readings:waiting:{priority}", f"readings:due:{priority}", f"readings:overdue:{priority}"
