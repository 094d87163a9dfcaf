"""How every process and command begins: the stores that its settings name are reached, and are its own."""

import logging
import time

from jobs.record.errors import TransientError
from jobs.redis.client import connect, refusal
from jobs.settings import Settings, SettingsError
from jobs.store.compatibility import Marks
from jobs.store.objects import Objects
from jobs.store.records import Records

log = logging.getLogger(__name__)

PAUSE = 2.0
"""Seconds between two attempts to reach the stores."""


def marks_of(settings: Settings, may_mark: bool = True) -> Marks:
    """The marks of the stores that the settings name, for the signing key that they hold.

    Raises SettingsError for an address of Redis that is none, or that will never open.
    """
    try:
        redis = connect(settings.redis_url)
    except ValueError:
        # What the error says may quote the password.
        raise SettingsError(
            "REDIS_URL is no address of Redis; write / # ? and @ in a password as %2F %23 %3F %40"
        ) from None
    if why := refusal(redis):
        raise SettingsError(why)
    records = Records(Objects.connect(settings.s3_endpoint_url, settings.s3_bucket), redis)
    return Marks(records, redis, settings.signing_key, may_mark)


def await_stores(settings: Settings, may_mark: bool = True) -> None:
    """Return once the stores have answered and their marks are this process's. Raises WrongStore."""
    marks = marks_of(settings, may_mark)
    while True:
        try:
            return marks.compare()
        except TransientError as error:
            log.warning("waiting for the stores: %s", error)
            time.sleep(PAUSE)
