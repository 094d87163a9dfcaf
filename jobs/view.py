"""The fast view of the jobs in Redis: their latest versions, who holds what, and which processes live.

Nothing in here is the truth. Redis may be wiped at any moment, and the sweeper rebuilds this from the ledger.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from secrets import token_hex
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.errors import QueueUnavailable
from jobs.job import Job
from jobs.states import Priority, State

GATE_SECONDS = 60
"""Longer than a write to the object store takes with its retry: a gate never opens under its holder."""

HEARTBEAT_SECONDS = 10

PUT_IF_NEWER = """
local old = redis.call('HGET', KEYS[1], 'version')
if old and tonumber(old) >= tonumber(ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'record', ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
if ARGV[4] ~= '' then redis.call('ZADD', KEYS[2], ARGV[4], ARGV[5])
else redis.call('ZREM', KEYS[2], ARGV[5]) end
return 1
"""

DELETE_IF_HELD = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"


class View:
    """Redis as the jobs' fast view. Every method raises QueueUnavailable where Redis does not answer."""

    def __init__(self, redis: Redis, seconds: int) -> None:
        self._redis = redis
        self._seconds = seconds
        self._put_if_newer = redis.register_script(PUT_IF_NEWER)
        self._delete_if_held = redis.register_script(DELETE_IF_HELD)

    @classmethod
    def connect(cls, url: str, seconds: int) -> "View":
        """The view at `url`; jobs leave it `seconds` after their last change, and the ledger keeps them."""
        redis = Redis.from_url(url, socket_timeout=3, socket_connect_timeout=2, retry=Retry(NoBackoff(), 1))
        return cls(redis, seconds)

    def check(self) -> None:
        """Return if Redis answers."""
        with _translated():
            self._redis.ping()

    def put(self, job: Job) -> None:
        """Show `job`, unless a later version is shown already."""
        waits_since = str(job.queued_at.timestamp()) if job.state is State.QUEUED else ""
        with _translated():
            self._put_if_newer(
                keys=[f"job:{job.id}", f"waiting:{job.priority}"],
                args=[job.version, job.to_json(), self._seconds, waits_since, job.id],
            )

    def get_many(self, job_ids: Iterable[str]) -> list[Job | None]:
        """The jobs shown under `job_ids`, None where there is none, in the same order."""
        with _translated():
            pipe = self._redis.pipeline(transaction=False)
            for job_id in job_ids:
                pipe.hget(f"job:{job_id}", "record")
            return [Job.from_json(record) if record else None for record in pipe.execute()]

    def queue_position(self, job: Job) -> int | None:
        """How many jobs go before this one, `stat` before `routine`; None unless it waits."""
        if job.state is not State.QUEUED:
            return None
        with _translated():
            rank: Any = self._redis.zrank(f"waiting:{job.priority}", job.id)
            if rank is None:
                return None
            ahead: Any = self._redis.zcard("waiting:stat") if job.priority is Priority.ROUTINE else 0
            return int(rank) + int(ahead)

    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        with _translated():
            counts: list[Any] = [self._redis.zcard(f"waiting:{priority}") for priority in Priority]
            return sum(counts)

    def gate(self, job_id: str, version: int) -> bool:
        """Whether the caller alone may write this version of this job, within GATE_SECONDS."""
        return self._claim(f"gate:{job_id}:{version}", GATE_SECONDS) is not None

    def begin_delivery(self, job_id: str, seconds: float) -> str | None:
        """A token if the caller alone may call this job's receiver, within `seconds`; else None."""
        return self._claim(f"delivering:{job_id}", seconds)

    def end_delivery(self, job_id: str, token: str) -> None:
        """Let others call this job's receiver again, unless the time of this `token` is over."""
        with _translated():
            self._delete_if_held(keys=[f"delivering:{job_id}"], args=[token])

    def delivering(self, job_id: str) -> bool:
        """Whether somebody is calling this job's receiver."""
        with _translated():
            return bool(self._redis.exists(f"delivering:{job_id}"))

    def beat(self, name: str) -> None:
        """Say that the process `name` lives."""
        with _translated():
            self._redis.set(f"alive:{name}", 1, ex=HEARTBEAT_SECONDS)

    def stop_beating(self, name: str) -> None:
        """Say that the process `name` has ended in order."""
        with _translated():
            self._redis.delete(f"alive:{name}")

    def alive(self, prefix: str = "") -> set[str]:
        """The names of the processes that live and whose names start with `prefix`."""
        with _translated():
            return {key.decode()[6:] for key in self._redis.scan_iter(match=f"alive:{prefix}*", count=500)}

    def _claim(self, key: str, seconds: float) -> str | None:
        token = token_hex(8)
        with _translated():
            # Where an answer was lost and the client asked again, it finds its own token.
            held: Any = self._redis.set(key, token, nx=True, get=True, px=int(seconds * 1000))
        return token if held is None or held.decode() == token else None


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except RedisError as error:
        raise QueueUnavailable(f"Redis does not answer: {type(error).__name__}") from error
