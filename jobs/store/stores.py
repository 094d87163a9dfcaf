"""Connects to the object store and to Redis: every process and every command begins with `Stores.connect`."""

import logging
import time
from dataclasses import dataclass, field
from typing import Self

from redis import Redis

from jobs.record.errors import TransientError
from jobs.redis.client import connect, disconnect, refusal
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.settings import Settings, SettingsError
from jobs.store.audit import Audit
from jobs.store.compatibility import Compatibility
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.records import Records

log = logging.getLogger(__name__)

_PAUSE = 2.0
"""Seconds between two attempts to reach the stores."""


@dataclass(frozen=True)
class Stores:
    """The two stores of the service, and what is built over both. Close it when it is no longer needed."""

    objects: Objects
    redis: Redis
    ledger: Ledger
    queue: JobQueue
    signing_key: str = field(default="", repr=False)

    @classmethod
    def connect(cls, settings: Settings, may_delete: bool = True) -> Self:
        """Connect to the stores that the settings name. No command is sent before the first use.

        `may_delete`: whether this process may delete objects. Raises SettingsError for a REDIS_URL that is no
        address of Redis.
        """
        objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
        try:
            redis = connect(settings.redis_url)
        except ValueError:
            # The text of the error may contain the password.
            raise SettingsError(
                "REDIS_URL is no address of Redis; write / # ? and @ in a password as %2F %23 %3F %40"
            ) from None
        ledger = Ledger(objects, View(redis, settings.view_seconds), may_delete)
        queue = JobQueue.connect(settings.redis_url)
        return cls(objects, redis, ledger, queue, settings.signing_key)

    @property
    def view(self) -> View:
        """The view of the jobs in Redis."""
        return self.ledger.view

    @property
    def records(self) -> Records:
        """The records that are changed in place."""
        return self.ledger.records

    @property
    def audit(self) -> Audit:
        """The audit log."""
        return Audit(self.objects, self.redis)

    def compatibility(self, may_mark: bool = True) -> Compatibility:
        """Return the check that the data fit this version and signing key; `may_mark`: it may write marks."""
        return Compatibility(self.records, self.redis, self.signing_key, may_mark)

    def check(self, may_mark: bool = True) -> None:
        """Return if Redis lets this process in and the data of both stores fit it.

        Raises SettingsError where a setting is wrong, TransientError where a store does not answer.
        """
        if why := refusal(self.redis):
            raise SettingsError(why)
        self.compatibility(may_mark).check()

    def await_answers(self, may_mark: bool = True) -> None:
        """Return once both stores have answered and their data fit this process. Raises SettingsError."""
        while True:
            try:
                return self.check(may_mark)
            except TransientError as error:
                log.warning("waiting for the stores: %s", error)
                time.sleep(_PAUSE)

    def close(self) -> None:
        """Close the connections to both stores."""
        self.queue.close()
        disconnect(self.redis)
        self.objects.close()
