"""A process that is killed at one of its writes to the object store, as a machine that loses its power."""

import os
import signal
from collections.abc import Callable
from functools import wraps
from typing import Any

from jobs.redis.view import View
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects


def dies_at_write(number: int, act: Callable[[Ledger], object], settings: Settings) -> bool:
    """Do the act in another process, killed at this one of its writes. False if it made fewer."""
    child = os.fork()
    if child == 0:
        try:
            act(_dying(number, settings))
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


def _dying(number: int, settings: Settings) -> Ledger:
    objects, left = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket), iter(range(number))

    def counted(write: Callable[..., None]) -> Callable[..., None]:
        @wraps(write)
        def dies(*given: Any, **named: Any) -> None:
            if next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*given, **named)

        return dies

    for name in ("put", "put_new", "delete"):
        setattr(objects, name, counted(getattr(objects, name)))
    return Ledger(objects, View.connect(settings.redis_url, settings.view_seconds))
