"""The clock: what time it is for all that ends or is erased by its age, though one clock has jumped."""

from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from jobs.record.errors import TransientError
from jobs.record.job import now
from jobs.redis.client import translated
from jobs.store.objects import Objects

_TOLERANCE = timedelta(minutes=1)
"""How far this process' clock may be from the others before nothing is erased any more."""
REPORT = "clock"
_REPORT_SECONDS = 300


class ClocksDisagree(TransientError):
    """This machine's clock is not that of Redis or of the object store; one of them has jumped."""


class Clock:
    """This process' clock beside those of Redis (TIME) and the object store (the Date of its answers).

    Where all run on one machine they have one clock, and a jump of it is not seen. Every method may raise
    QueueUnavailable and StoreUnavailable.
    """

    def __init__(self, objects: Objects, redis: Redis) -> None:
        self._objects = objects
        self._redis = redis

    def earliest(self) -> datetime:
        """The time by the clock that is furthest behind: nothing is over too early where one is ahead."""
        return min(now(), *self._others().values())

    def agreed(self) -> datetime:
        """The time, where the clocks agree. Raises ClocksDisagree where one is off by over a minute."""
        others, own = self._others(), now()
        differences = {name: own - other for name, other in others.items()}
        self._report(differences)
        for name, difference in differences.items():
            if abs(difference) > _TOLERANCE:
                raise ClocksDisagree(
                    f"the clock of this machine differs from that of {name} by"
                    f" {difference.total_seconds():+.0f} s; set the clocks right"
                )
        return own

    def reported(self) -> dict[str, float]:
        """By how many seconds the sweeper's clock was ahead of each of the others, when it looked last."""
        with translated(self._redis):
            found: Any = self._redis.hgetall(REPORT)
        return {name.decode(): float(seconds) for name, seconds in found.items()}

    def _others(self) -> dict[str, datetime]:
        with translated(self._redis):
            seconds, microseconds = self._redis.time()
        redis = datetime.fromtimestamp(seconds + microseconds / 1e6, UTC)
        # The Date leaves out what has passed of its second.
        return {"redis": redis, "object-store": self._objects.date() + timedelta(seconds=1)}

    def _report(self, differences: dict[str, timedelta]) -> None:
        with translated(self._redis):
            pipe = self._redis.pipeline()
            pipe.hset(REPORT, mapping={name: d.total_seconds() for name, d in differences.items()})
            pipe.expire(REPORT, _REPORT_SECONDS)
            pipe.execute()
