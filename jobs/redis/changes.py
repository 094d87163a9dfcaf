"""Wakes the threads of this process that wait for a job to change, by one subscription to Redis."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Lock, Thread

from redis import Redis
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisSilent

from jobs.redis.client import connect
from jobs.redis.view import CHANGES

log = logging.getLogger(__name__)

_ROUND = 5.0
"""Seconds after which the subscriber checks whether it is to stop, and whether a silent Redis answers."""
PAUSE = 1.0
"""Seconds between two attempts to subscribe."""


class Changes:
    """The changes of jobs, as the view publishes them.

    A change may be missed while Redis does not answer. A waiting thread therefore reads the job once more
    when its time is over, and all waiting threads are woken whenever the subscription begins anew.
    """

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._waiting: dict[str, set[Event]] = {}
        self._lock = Lock()
        self._subscriber: Thread | None = None
        self.stopped = Event()

    @classmethod
    def connect(cls, url: str) -> "Changes":
        """Return the changes at the Redis of `url`. The subscription begins with the first waiting thread."""
        return cls(connect(url))

    @contextmanager
    def watched(self, *ids: str) -> Iterator[Event]:
        """Yield an event that is set when one of these jobs or studies changes, or when the process ends."""
        changed = Event()
        with self._lock:
            for job_id in ids:
                self._waiting.setdefault(job_id, set()).add(changed)
            if self._subscriber is None:
                self._subscriber = Thread(target=self._run, name="changes", daemon=True)
                self._subscriber.start()
        try:
            yield changed
        finally:
            with self._lock:
                for job_id in ids:
                    others = self._waiting[job_id]
                    others.remove(changed)
                    if not others:
                        del self._waiting[job_id]

    def stop(self) -> None:
        """Wake all waiting threads, because the process ends."""
        self.stopped.set()
        self._wake_all()

    def _run(self) -> None:
        while not self.stopped.is_set():
            try:
                self._listen()
            except RedisError as error:
                log.warning("Redis does not tell of changes: %s", type(error).__name__)
                self.stopped.wait(PAUSE)

    def _listen(self) -> None:
        with self._redis.pubsub() as channel:
            channel.subscribe(CHANGES)
            asked = False
            while not self.stopped.is_set():
                message = channel.get_message(timeout=_ROUND)
                if message is None:
                    if asked:
                        raise RedisSilent("the subscription has died without an end")
                    channel.ping()
                asked = message is None
                if message and message["type"] == "message":
                    self._wake(message["data"].decode())
                elif message and message["type"] == "subscribe":  # Perhaps after a connection was lost.
                    self._wake_all()

    def _wake(self, job_id: str) -> None:
        with self._lock:
            for changed in self._waiting.get(job_id, ()):
                changed.set()

    def _wake_all(self) -> None:
        with self._lock:
            for waiting in self._waiting.values():
                for changed in waiting:
                    changed.set()
