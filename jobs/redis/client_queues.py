"""Keeps a queue of waiting jobs for each client and priority, from which the broker's queue is fed.

A client that sends many jobs therefore holds up no other. The view updates these queues with each version
of a job. They are lost and rebuilt with the view. Their keys are `line:<priority>:<client>` and
`lines:<priority>`: the names are older than the word.
"""

import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from redis import Redis

from jobs.record.job import Job
from jobs.record.states import Priority, State
from jobs.redis.client import translated
from jobs.redis.script import script
from jobs.redis.task_ids import QueueMessage, messages_of

CLIENT_WINDOW = 32
"""Most jobs of one client and priority in the broker's queue. More than one worker takes at once.

The client's other jobs wait in its own queue, and hold up no other client.
"""

DRAIN_BUCKET, DRAIN_BUCKETS = 10, 6
"""Seconds for which jobs that leave the queue are counted together, and counts that make a rate."""

_MESSAGE_GRACE = 5
"""Seconds for which a message may be on its way between broker and worker."""


@dataclass(frozen=True)
class ClientQueue:
    """The waiting jobs of one client and priority: how many, and since when the first waits."""

    client: str
    priority: Priority
    count: int
    since: float
    """In seconds since the epoch."""


class ClientQueues:
    """The queues of all clients. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._next_jobs = script(redis, "choose_jobs", "next_jobs")
        self._lost = script(redis, "messages_left", "lost_messages")
        self._position = script(redis, "queue_position", "position")
        self._count = script(redis, "count_waiting")

    def position(self, job: Job) -> int | None:
        """Return about how many jobs go before a waiting one: `stat` first, clients in turn. Else None."""
        if job.state is not State.QUEUED:
            return None
        with translated(self.redis):
            return position_or_none(self._position(args=[job.priority, job.client, job.id]))

    def waiting_by_priority(self) -> dict[Priority, tuple[int, float | None]]:
        """Return for each priority how many jobs wait, and since when the first: seconds since the epoch."""
        with translated(self.redis):
            pipe = self.redis.pipeline(transaction=False)
            for priority in Priority:
                pipe.zcard(f"waiting:{priority}")
                pipe.zrange(f"waiting:{priority}", 0, 0, withscores=True)
            answers = pipe.execute()
        first = [found[0][1] if found else None for found in answers[1::2]]
        return dict(zip(Priority, zip(answers[::2], first, strict=True), strict=True))

    def waiting_beside(
        self, client: str, priorities: Collection[Priority] = tuple(Priority)
    ) -> tuple[int, int, float]:
        """Return how many jobs of these priorities wait, and what `of_client` does, in one round trip."""
        with translated(self.redis):
            waiting, own, since = self._count(args=[client, *priorities])
        return waiting, own, max(0.0, time.time() - float(since)) if since else 0.0

    def of_client(self, client: str, priorities: Collection[Priority] = tuple(Priority)) -> tuple[int, float]:
        """Return how many of a client's jobs wait, and for how many seconds the first of them has."""
        return self.waiting_beside(client, priorities)[1:]

    def drain_rate(self) -> float:
        """Return how many jobs a second have left the queues in the last minute."""
        at = time.time()
        with translated(self.redis):
            keys = [drained_key(at - DRAIN_BUCKET * back) for back in range(1, DRAIN_BUCKETS + 1)]
            counts: Any = self.redis.mget(keys)
        return sum(int(count) for count in counts if count) / (DRAIN_BUCKET * DRAIN_BUCKETS)

    def next_jobs(self, client: str, priority: Priority) -> list[QueueMessage]:
        """Choose the jobs to send to workers now, as far as the window has room, and return each once."""
        with translated(self.redis):
            chosen: Any = self._next_jobs(
                keys=[
                    *(client_queue_key(client, priority), window_key(client, priority)),
                    *(f"sent:{priority}", f"unfed:{priority}"),
                ],
                args=[CLIENT_WINDOW, client],
            )
        return messages_of(chosen)

    def all(self) -> list[tuple[str, Priority]]:
        """Return the clients with waiting jobs, each with the priority."""
        return self._clients("lines")

    def by_client(self) -> list["ClientQueue"]:
        """Return each queue in which jobs wait, the one that has waited longest first."""
        queues = self.all()
        with translated(self.redis):
            pipe = self.redis.pipeline(transaction=False)
            for client, priority in queues:
                pipe.zcard(client_queue_key(client, priority))
                pipe.zrange(client_queue_key(client, priority), 0, 0, withscores=True)
            answers = pipe.execute()
        found = zip(queues, answers[::2], answers[1::2], strict=True)
        waiting = [ClientQueue(*queue, count, first[0][1]) for queue, count, first in found if first]
        return sorted(waiting, key=lambda queue: queue.since)

    def unfed(self) -> list[tuple[str, Priority]]:
        """Return the clients whose queues have changed since `next_jobs`, each with the priority."""
        return self._clients("unfed")

    def _clients(self, name: str) -> list[tuple[str, Priority]]:
        with translated(self.redis):
            found: list[tuple[Priority, Any]] = [(p, self.redis.smembers(f"{name}:{p}")) for p in Priority]
        return [(client.decode(), priority) for priority, clients in found for client in clients]

    def lost(self, priority: Priority, queue: str) -> set[str]:
        """Return the ids of the waiting jobs whose messages have left the `queue`, and that no worker took.

        A message has left the queue if one that was sent later has, or if the queue is empty.
        """
        keys = [f"sent:{priority}", f"taken:{priority}", queue]
        with translated(self.redis):
            lost: Any = self._lost(keys=keys, args=[_MESSAGE_GRACE])
        return {job_id.decode() for job_id in lost}

    def send_again(self, job: Job) -> None:
        """Have `next_jobs` return this job once more, because its message was lost.

        If it was not lost, the job has two messages. `lost` then ignores when the second one is taken.
        """
        with translated(self.redis):
            pipe = self.redis.pipeline()
            pipe.sadd(f"resent:{job.priority}", job.id)
            pipe.zrem(f"sent:{job.priority}", job.id)
            pipe.srem(window_key(job.client, job.priority), job.id)
            pipe.sadd(f"unfed:{job.priority}", job.client)
            pipe.execute()


def position_or_none(found: Any) -> int | None:
    """Read what the script queue_position returns: None for a job that does not wait."""
    return int(found) if int(found) >= 0 else None


def client_queue_key(client: str, priority: Priority) -> str:
    """Return the key of a client's queue: its waiting jobs by the time that they were queued."""
    return f"line:{priority}:{client}"


def window_key(client: str, priority: Priority) -> str:
    """Return the key of a client's window: those of its waiting jobs that were sent to workers."""
    return f"window:{priority}:{client}"


def drained_key(at: float) -> str:
    """Return the key of the count of jobs that leave the queues around this time."""
    return f"drained:{int(at // DRAIN_BUCKET)}"
