"""Loads bundles so that a bad one ends no worker twice, and reports what could not be loaded, and why."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

from jobs.record.errors import QueueUnavailable, TransientError
from jobs.redis.model_loads import ABANDONED, ModelLoads, Refusal
from model.classifier import Classifier
from worker.rollout.loader import Loads, why
from worker.rollout.trial import LoadBroken, LoadStopped

log = logging.getLogger(__name__)

AGAIN = 60.0
"""Seconds after which a bundle is loaded again that was refused."""


class Attempts:
    """The attempts of this process to load bundles. One thread at a time loads; any may ask for `refused`."""

    def __init__(self, loader: Loads, loads: ModelLoads, process: str) -> None:
        """`process`: the name of the heartbeat."""
        self._loader = loader
        self._loads = loads
        self._process = process
        self._again_at: dict[str, float] = {}
        self._refusals: dict[str, Refusal] = {}
        self._begun = set[str]()
        """Loads whose end is not recorded: the one that runs, and those at whose end Redis did not answer."""

    def load(self, part: str, digest: str) -> Classifier | None:
        """Return the bundle, loaded; None where that fails, or has failed before and is not due again.

        The log has the reason. A load that ends or hangs its process is not repeated for ABANDONED on this
        machine, unless the roll-out names the bundle anew.
        """
        if self.refused(digest):
            self._refusals[digest] = replace(self._refusals[digest], part=part)
            return None
        try:
            self._refuse_what_ended_a_worker(digest)
            with self._recorded(digest):
                loaded = self._loader.load(digest)
        except Exception as error:
            log.error("the %s model %s cannot be loaded, the others stay: %s", part, digest, why(error))
            self._refusals[digest] = Refusal(part, digest, self._process, why(error))
            if not isinstance(error, TransientError | LoadStopped):
                pause = ABANDONED if isinstance(error, LoadBroken) else AGAIN
                self._again_at[digest] = time.monotonic() + pause
            return None
        self._forget(digest)
        return loaded

    def refused(self, digest: str) -> bool:
        """Return whether a load has failed, so that the next one is not due yet."""
        return time.monotonic() < self._again_at.get(digest, 0.0)

    def follow(self, wanted: set[str | None], at_hand: set[str | None]) -> None:
        """Report what could not be loaded of the bundles that this process is to run, `wanted`.

        The failures of others are forgotten, and their files removed but those of the bundles `at_hand`.
        The thread that loads calls this between two loads.
        """
        self.end_loads()
        for digest in self._refusals.keys() - wanted:
            self._forget(digest)
            with suppress(QueueUnavailable):
                for process in self._ended_by(digest):
                    self._loads.end(process, digest)
        self._loader.keep_only(at_hand)
        with suppress(QueueUnavailable):
            self._loads.report(self._process, self._refusals.values())

    def end_loads(self) -> None:
        """Record that no load has ended this process: it ends in order, or has ended its loads."""
        with suppress(QueueUnavailable):
            for digest in list(self._begun):
                self._loads.end(self._process, digest)
                self._begun.discard(digest)

    def _forget(self, digest: str) -> None:
        self._refusals.pop(digest, None)
        self._again_at.pop(digest, None)

    @contextmanager
    def _recorded(self, digest: str) -> Iterator[None]:
        self._begun.add(digest)
        with suppress(QueueUnavailable):
            self._loads.begin(self._process, digest)
        try:
            yield
        finally:
            self.end_loads()

    def _refuse_what_ended_a_worker(self, digest: str) -> None:
        with suppress(QueueUnavailable):
            for process in self._ended_by(digest):
                raise LoadBroken(f"a load of it has ended the worker {process}")

    def _ended_by(self, digest: str) -> list[str]:
        """Return the processes of this machine that have begun to load the bundle, and live no more."""
        return [process for process in self._loads.begun(digest) if self._is_gone(process)]

    def _is_gone(self, process: str) -> bool:
        if process == self._process:
            return False
        (_, host, pid, _), (_, own_host, own_pid, _) = process.split(":"), self._process.split(":")
        # In a container each worker has the same id as the one before.
        return host == own_host and (pid == own_pid or not _runs(int(pid)))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # It runs as another user.
        return True
    return True
