"""Keeps the ids of the jobs that a shadow is to score, counts what it found, and which models were refused.

All of it may be lost: then the shadow has scored fewer jobs, and that is all.
"""

import time
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
ROLES = ("active", "canary", "shadow")
_QUEUE, _REFUSED, _COUNTS = "shadow", "models:refused", "counts"
_UNIT = 10_000
"""Counts are whole numbers: the sum of differences is one of these parts."""
_REPORTED = 60
"""Seconds for which a report of a refused model counts: a process repeats it far more often."""


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

    def report_refused(self, process: str, roles: Sequence[str]) -> None:
        """Record that this process could not load the models of these roles, and could load all others."""
        with translated(self._redis):
            pipe = self._redis.pipeline()
            for role in ROLES:
                name = f"{role} {process}"
                if role in roles:
                    pipe.zadd(_REFUSED, {name: time.time()})
                else:
                    pipe.zrem(_REFUSED, name)
            pipe.zremrangebyscore(_REFUSED, "-inf", time.time() - _REPORTED)
            pipe.execute()

    def refused(self) -> dict[str, int]:
        """Return how many processes could not load the model of each role."""
        with translated(self._redis):
            names: Any = self._redis.zrangebyscore(_REFUSED, time.time() - _REPORTED, "+inf")
        roles = [name.decode().partition(" ")[0] for name in names]
        return {role: roles.count(role) for role in ROLES}


def differences(counts: Mapping[str, int]) -> tuple[Sequence[tuple[str, float]], float]:
    """Return the cumulative buckets of the differences, by upper bound, and their sum."""
    buckets, count = [], 0.0
    for bound in BUCKETS:
        count += counts.get(f"shadow-difference:{bound}", 0)
        buckets.append((str(bound), count))
    return [*buckets, ("+Inf", count)], counts.get("shadow-difference-sum", 0) / _UNIT
