"""Keeps the view: the latest versions of the jobs, in Redis, with all that is built from them.

The truth is in the ledger. Redis may be wiped at any moment; the sweeper rebuilds the view from the ledger.
"""

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from enum import IntEnum
from typing import Any

from redis import Redis

from jobs.callbacks.url import origin_of
from jobs.record.job import Job
from jobs.record.job_json import job_from_json, job_to_json
from jobs.record.states import Kind, Priority, State
from jobs.redis.agenda import Agenda, check_at
from jobs.redis.answer_times import answer_time
from jobs.redis.client import connect, translated
from jobs.redis.client_queues import (
    CLIENT_WINDOW,
    ClientQueues,
    client_queue_key,
    drained_key,
    position_or_none,
    window_key,
)
from jobs.redis.delivery_queues import DeliveryQueues, delivery_queue_key, receivers_key
from jobs.redis.heartbeats import Heartbeats
from jobs.redis.model_loads import ModelLoads
from jobs.redis.reading_figures import ReadingFigures
from jobs.redis.receiver_circuit_breaker import CircuitBreaker
from jobs.redis.script import script
from jobs.redis.shadow_queue import ShadowQueue
from jobs.redis.task_ids import QueueMessage, messages_of, next_task_id

log = logging.getLogger(__name__)

Send = Callable[[Priority, Sequence[QueueMessage]], None]
"""Sends messages about jobs of one priority to workers."""
LOCK_SECONDS = 20
"""Seconds after which a write lock ends by itself.

Its holder begins to write while WRITE_SECONDS are left, or not at all, so that the lock never ends too early.
"""
WRITE_SECONDS = 15
"""Longest time that a write to the object store takes, with its one retry."""


class WriteLock(IntEnum):
    """What `View.lock_version` answers to a writer of a version."""

    TAKEN, CHECK, FREE = range(3)
    """TAKEN: another writer has the lock. CHECK: write, if the object store does not have the version yet.
    FREE: write at once. Redis shows the version before, and no other writer has tried this one.
    """


CHANGES = "changes"
"""The channel on which the ids of jobs with a new version are published."""


class View:
    """The view. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis, seconds: int) -> None:
        self.agenda = Agenda(redis)
        self.client_queues = ClientQueues(redis)
        self.circuit_breaker = CircuitBreaker(redis)
        self.delivery_queues = DeliveryQueues(redis)
        self.heartbeats = Heartbeats(redis)
        self.model_loads = ModelLoads(redis)
        self.reading_figures = ReadingFigures(redis)
        self.shadow_queue = ShadowQueue(redis)
        self.redis = redis
        self._seconds = seconds
        self._put_if_newer = script(redis, "choose_jobs", "queue_position", "mark_taken", "show")
        self._lock = script(redis, "server_id", "knows_locks", "lock_version")
        self._unlock = script(redis, "unlock")

    @classmethod
    def connect(cls, url: str, seconds: int) -> "View":
        """Return the view at `url`. It keeps a job for `seconds` after its last change."""
        return cls(connect(url), seconds)

    def check(self) -> None:
        """Return if Redis accepts writes. One that is full, or a replica, answers a PING as well."""
        with translated(self.redis):
            self.redis.set("check", 1, ex=60)

    def put(self, job: Job, send: Send | None = None) -> int | None:
        """Show `job`, unless a later version is shown already.

        With `send`, such as JobQueue.send, the next jobs of its client's queue are sent to workers, and the
        job's position is returned as by ClientQueues.position.
        """
        waits_since = str(job.queued_at.timestamp()) if job.state is State.QUEUED else ""
        origin = origin_of(job.callback_url) if job.callback_url else ""
        due = str(job.next_delivery_at.timestamp()) if job.owes_callback and job.next_delivery_at else ""
        runner = job.runner if job.state is State.RUNNING else None
        with translated(self.redis):
            answer: Any = self._put_if_newer(
                keys=[
                    f"job:{job.id}",
                    f"waiting:{job.priority}",
                    client_queue_key(job.client, job.priority),
                    window_key(job.client, job.priority),
                    f"lines:{job.priority}",
                    drained_key(time.time()),
                    "counts",
                    delivery_queue_key(job.client, origin),
                    receivers_key(job.client),
                    "callbacks",
                ],
                args=[
                    *(job.id, job.version, job_to_json(job), self._seconds, waits_since, job.client),
                    *(job.state, int(_counts(job)), job.delivery, origin, due),
                    *(job.priority, check_at(job), runner or "", job.study or ""),
                    *(next_task_id(job), *answer_time(job), CLIENT_WINDOW if send else ""),
                ],
            )
        if not send or not answer:
            return None
        position, chosen = answer
        send(job.priority, messages_of(chosen))
        return position_or_none(position)

    def counts(self) -> dict[str, int]:
        """Return counts since Redis was wiped last, by name.

        `ended:<state>`: jobs that ended. `delivery:<outcome>`: callbacks that ended. `lost`: attempts lost.
        `answer...`: those of jobs.redis.answer_times. `reading-...`: those of jobs.redis.reading_figures.
        `shadow-...`: those of jobs.redis.shadow_queue.
        """
        with translated(self.redis):
            counts: Any = self.redis.hgetall("counts")
        return {name.decode(): int(count) for name, count in counts.items()}

    def get_many(self, job_ids: Iterable[str]) -> list[Job | None]:
        """Return the jobs of these ids in the same order; None for one that is missing or not readable."""
        with translated(self.redis):
            pipe = self.redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(f"job:{job_id}", "record")
            return [_read(record) if record else None for record in pipe.execute()]

    def jobs_of_runner(self, runner: str) -> set[str]:
        """Return the ids of the jobs that this worker has taken and that still run there."""
        key = f"held:{runner}"
        with translated(self.redis):
            members: Any = self.redis.smembers(key)
        job_ids = {job_id.decode() for job_id in members}
        shown = self.get_many(job_ids)
        # A record that had left the view when the job ended did not name its runner.
        over = {job.id for job in shown if job and (job.state is not State.RUNNING or job.runner != runner)}
        if over:
            with translated(self.redis):
                self.redis.srem(key, *over)
        return job_ids - over

    def lock_version(self, job_id: str, version: int, token: str) -> WriteLock:
        """Take the lock of this version of this job for LOCK_SECONDS, and return whether it may be written.

        A writer with the same `token` gets the lock again: the token stands for the same record.
        """
        with translated(self.redis):
            return WriteLock(
                self._lock(
                    # The name of the key is older than the word.
                    keys=[f"gate:{job_id}:{version}", f"job:{job_id}", "memory"],
                    args=[token, LOCK_SECONDS, version],
                )
            )

    def unlock_version(self, job_id: str, version: int, token: str) -> None:
        """Release this writer's lock of a version of which nothing was written."""
        with translated(self.redis):
            self._unlock(keys=[f"gate:{job_id}:{version}"], args=[token])


def _read(record: bytes) -> Job | None:
    try:
        return job_from_json(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        log.exception("a record in Redis cannot be read; the ledger is read instead")
        return None


def _counts(job: Job) -> bool:
    # The jobs of a study are counted, and not the study.
    return job.kind is Kind.JOB and job.state.final
