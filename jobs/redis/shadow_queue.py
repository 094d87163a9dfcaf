"""Keeps the ids of the jobs that a shadow is to score, and counts what it found.

All of it may be lost: then the shadow has scored fewer jobs, and that is all.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis import Redis

from jobs.redis.client import translated

MOST = 10_000
"""Ids that wait at most: the newest. Where no shadow takes them the oldest are dropped."""
WAIT = 1
"""Seconds for which `take` waits for an id."""
BUCKETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Bounds of the histogram of differences between probabilities."""
KINDS = ("none", "finding", "refused", "broken")
"""How a shadow's finding differs: not, by another finding, by a refusal, or since its analysis broke."""
_QUEUE, _COUNTS = "shadow", "counts"
_UNIT = 10_000
"""Counts are whole numbers: the sum of differences is one of these parts."""


class ShadowQueue:
    """The queue and the figures. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def add(self, job_id: str) -> None:
        """Have the shadow score this job."""
        with translated(self._redis):
            pipe = self._redis.pipeline()
            pipe.rpush(_QUEUE, job_id)
            pipe.ltrim(_QUEUE, -MOST, -1)
            pipe.execute()

    def take(self) -> str | None:
        """Take the next job's id; None where none comes within WAIT. It is never given again."""
        with translated(self._redis):
            taken: Any = self._redis.blpop([_QUEUE], WAIT)
        return taken[1].decode() if taken else None

    def waiting(self) -> int:
        """Return how many jobs wait for the shadow."""
        with translated(self._redis):
            length: Any = self._redis.llen(_QUEUE)
        return int(length)

    def count(self, kind: str, difference: float | None) -> None:
        """Count a score: by the kind of its disagreement, and the difference of probabilities, 0..1."""
        with translated(self._redis):
            pipe = self._redis.pipeline()
            pipe.hincrby(_COUNTS, f"shadow:{kind}", 1)
            if difference is not None:
                bound = next(bound for bound in BUCKETS if difference <= bound)
                pipe.hincrby(_COUNTS, f"shadow-difference:{bound}", 1)
                pipe.hincrby(_COUNTS, "shadow-difference-sum", round(difference * _UNIT))
            pipe.execute()


def differences(counts: Mapping[str, int]) -> tuple[Sequence[tuple[str, float]], float]:
    """Return the cumulative buckets of the differences, by upper bound, and their sum."""
    buckets, count = [], 0.0
    for bound in BUCKETS:
        count += counts.get(f"shadow-difference:{bound}", 0)
        buckets.append((str(bound), count))
    return [*buckets, ("+Inf", count)], counts.get("shadow-difference-sum", 0) / _UNIT
