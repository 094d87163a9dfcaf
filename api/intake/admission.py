"""Limits submissions by the quota and queue of each client (429), and by the queue of all clients (503)."""

import logging
import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.storage import RedisStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from jobs.record.errors import QueueAway, QueueUnavailable
from jobs.record.states import PATIENTS, Priority
from jobs.redis.client import translated
from jobs.redis.client_queues import ClientQueues
from jobs.settings import Settings

log = logging.getLogger(__name__)

_MINUTE = 60
_ROOM = 0.1
"""Share of the queue that should be free again when a refused client retries."""
RATE_LIMIT = ("RateLimit-Policy", "RateLimit")
"""The headers that describe a quota."""
_SHORTEST, LONGEST, UNKNOWN = 1, 900, 60
"""Bounds of Retry-After in seconds, and its value while no job leaves the queue."""


@dataclass(frozen=True)
class Admission:
    """Counts submissions and callbacks, and refuses those over a limit.

    While Redis does not answer, every client is admitted: jobs wait in the object store. QueueBusy is raised
    while all connections to Redis are in use, because an overload must not lift the limits.
    """

    settings: Settings
    queues: ClientQueues
    limiter: SlidingWindowCounterRateLimiter

    @classmethod
    def over(cls, settings: Settings, queues: ClientQueues) -> "Admission":
        """Make one that counts in the Redis of the settings."""
        storage = RedisStorage(
            settings.redis_url, connection_pool=queues.redis.connection_pool, key_prefix="quota"
        )
        return cls(settings, queues, SlidingWindowCounterRateLimiter(storage))

    def count(self, client: str) -> tuple[bool, dict[str, str]]:
        """Count one submission of a client. Returns whether the quota allows it, and the headers."""
        return self._count("submissions", self.settings.client_rate, client, 1)

    def admit_callbacks(self, client: str, number: int = 1) -> dict[str, str]:
        """Count this number of test events and redeliveries, and return the RateLimit headers.

        Raises Problem 429 where less than the number is left of the client's quota.
        """
        within, headers = self._count("callbacks", self.settings.client_callbacks, client, number)
        if not within:
            detail = "This client asks for more callbacks a minute than its quota allows. Ask again later."
            raise Problem(Slug.QUOTA_EXCEEDED, detail, headers=headers)
        return headers

    def _count(self, what: str, most: int, client: str, number: int) -> tuple[bool, dict[str, str]]:
        """Count this number. Returns whether the quota allows it, and the headers.

        The headers are those of draft-ietf-httpapi-ratelimit-headers-10, with Retry-After over the quota.
        """
        quota = RateLimitItemPerMinute(most)
        try:
            with translated(self.queues.redis):
                within = self.limiter.hit(quota, what, client, cost=number)
                reset, left = self.limiter.get_window_stats(quota, what, client)
        except QueueAway:
            log.warning("Redis does not answer; this request is not counted", extra={"client": client})
            return True, {}
        seconds = max(_SHORTEST, math.ceil(reset - time.time()))
        headers = {
            "RateLimit-Policy": f'"{what}";q={quota.amount};w={_MINUTE}',
            "RateLimit": f'"{what}";r={left};t={seconds}',
        }
        return within, headers if within else headers | {"Retry-After": str(seconds)}

    def refuse_when_full(self, client: str) -> None:
        """Raise Problem 503 for a queue that is full or too slow, 429 for a client queue that is full.

        Jobs of priority `archive` are not counted: they delay no other.
        """
        try:
            waiting, own, age = self.queues.waiting_beside(client, PATIENTS)
        except QueueAway:
            return
        settings = self.settings
        if own >= settings.client_queue:
            detail = f"{own} jobs of this client wait, as many as one may have waiting. Send it again later."
            seconds = self._until(own - settings.client_queue * (1 - _ROOM))
            raise Problem(Slug.TOO_MANY_WAITING, detail, retry_after=seconds)
        if waiting >= settings.max_queue:
            detail = f"{waiting} jobs are waiting, as many as this service takes. Send it again later."
            seconds = self._until(waiting - settings.max_queue * (1 - _ROOM))
            raise Problem(Slug.QUEUE_FULL, detail, retry_after=seconds)
        if age > settings.max_queue_seconds:
            detail = f"This client's first job has waited for {age:.0f} s. Send it again later."
            raise Problem(Slug.QUEUE_FULL, detail, retry_after=self._until(max(1, own * _ROOM)))

    def refuse_when_archive_is_full(self, client: str) -> None:
        """Raise Problem 429 where as many jobs of a client and of priority `archive` wait as may."""
        try:
            own, _ = self.queues.of_client(client, [Priority.ARCHIVE])
        except QueueAway:
            return
        if own >= (most := self.settings.client_archive_queue):
            detail = (
                f"{own} jobs of this client and of priority `archive` wait, as many as may. Send it later."
            )
            raise Problem(Slug.TOO_MANY_WAITING, detail, retry_after=self._until(own - most * (1 - _ROOM)))

    def _until(self, jobs: float) -> int:
        """Estimate the seconds until so many jobs have left the queue, by the rate of the last minute."""
        try:
            rate = self.queues.drain_rate()
        except QueueUnavailable:
            return UNKNOWN
        return min(LONGEST, max(_SHORTEST, math.ceil(jobs / rate))) if rate else UNKNOWN
