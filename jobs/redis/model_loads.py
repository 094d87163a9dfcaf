"""Keeps which workers load a bundle now, which died at it, and which could not load one, and why.

All of it may be lost: the workers report again what they could not load, within seconds.
"""

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any

from redis import Redis

from jobs.redis.client import translated

PARTS = ("active", "canary", "shadow")
"""The parts that a bundle can have in a roll-out."""
_BEGUN, _REFUSED = "models:begun", "models:refused"
ABANDONED = 3600
"""Seconds for which a load that has ended its worker is known: its machine does not repeat it meanwhile."""
_REPORTED = 60
"""Seconds for which a report of a refused bundle counts: a process repeats it far more often."""
_LONGEST = 300
"""Characters of a reason."""


@dataclass(frozen=True)
class Refusal:
    """A process could not load the bundle that has this part, and `why`."""

    part: str
    bundle: str
    process: str
    why: str


class ModelLoads:
    """The loads. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def begin(self, process: str, digest: str) -> None:
        """Record that this process begins to load a bundle."""
        with translated(self._redis):
            pipe = self._redis.pipeline()
            pipe.zremrangebyscore(_BEGUN, "-inf", time.time() - ABANDONED)
            pipe.zadd(_BEGUN, {f"{digest} {process}": time.time()})
            pipe.execute()

    def end(self, process: str, digest: str) -> None:
        """Record that a load has ended, well or badly, and not with the process."""
        with translated(self._redis):
            self._redis.zrem(_BEGUN, f"{digest} {process}")

    def begun(self, digest: str) -> set[str]:
        """Return the processes that have begun to load a bundle, and have not ended it."""
        with translated(self._redis):
            names: Any = self._redis.zrangebyscore(_BEGUN, time.time() - ABANDONED, "+inf")
        pairs = (name.decode().partition(" ") for name in names)
        return {process for one, _, process in pairs if one == digest}

    def report(self, process: str, refused: Iterable[Refusal]) -> None:
        """Record what this process could not load. It could load all else that the roll-out names."""
        reported = {_member(refusal) for refusal in refused}
        with translated(self._redis):
            before = {_member(one) for one in self._refusals() if one.process == process}
            pipe = self._redis.pipeline()
            if gone := before - reported:
                pipe.zrem(_REFUSED, *gone)
            if reported:
                pipe.zadd(_REFUSED, dict.fromkeys(reported, time.time()))
            pipe.zremrangebyscore(_REFUSED, "-inf", time.time() - _REPORTED)
            pipe.execute()

    def refusals(self) -> list[Refusal]:
        """Return what workers could not load."""
        with translated(self._redis):
            return self._refusals()

    def refused(self) -> dict[str, int]:
        """Return how many processes could not load the bundle of each part."""
        parts = [refusal.part for refusal in self.refusals()]
        return {part: parts.count(part) for part in PARTS}

    def _refusals(self) -> list[Refusal]:
        members: Any = self._redis.zrangebyscore(_REFUSED, time.time() - _REPORTED, "+inf")
        return [Refusal(*json.loads(member)[: len(fields(Refusal))]) for member in members]


def _member(refusal: Refusal) -> str:
    return json.dumps([refusal.part, refusal.bundle, refusal.process, refusal.why[:_LONGEST]])
