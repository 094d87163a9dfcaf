"""Decides which verified events reach the transports, and for how long. Else a robot has to stay still."""

import logging
import time
from collections.abc import Sequence
from enum import StrEnum
from threading import Event, Lock

from cachetools import TTLCache

from jobs.targets.freshness import LONGEST_VALIDITY_S, MOST_CLOCK_OFFSET_S
from robot.clock import ServiceClock
from robot.event import VerifiedTargets
from robot.metrics import EVENTS
from robot.transport import STATUS_SECONDS, Status, Transport, TransportFull

log = logging.getLogger(__name__)

_NANO = 10**9
_SIGNED_FOR_S = 600
"""A signature is accepted from five minutes before its time until five minutes after it."""
_REMEMBERED = 100_000


class Outcome(StrEnum):
    """The outcome of a verified event."""

    PASSED = "passed"
    REPEATED = "repeated"
    """It was passed already: the service repeats it, or another sender replays it."""
    OUTDATED = "outdated"
    """A newer one of its job was passed, or a transport did not take it."""
    EXPIRED = "expired"
    """It says that it is actionable, and its validity is over."""
    REFUSED = "refused"
    """It says that it is actionable, and the clocks do not agree, or it was made before this process began.

    The service is to send it again, with data that it makes anew.
    """
    NOT_TAKEN = "not-taken"
    """A transport holds as much as it may, or has failed. The service is to send it again."""


class Relay:
    """Passes events to transports. It remembers ids and orders while a replay is possible, and no data.

    `max_age_s` is the consumer's own limit to the age of a picture, which only shortens.
    """

    def __init__(self, transports: Sequence[Transport], clock: ServiceClock, max_age_s: float | None) -> None:
        self._transports = transports
        self._clock = clock
        self._max_age_s = max_age_s
        self._began_ns = time.time_ns()
        self._ids: TTLCache[str, bool] = TTLCache(_REMEMBERED, _SIGNED_FOR_S)
        self._newest: TTLCache[str, tuple[int, int]] = TTLCache(_REMEMBERED, LONGEST_VALIDITY_S)
        self._status: Status | None = None
        self._lock = Lock()
        for outcome in Outcome:
            EVENTS.labels(outcome)

    def take(self, event: VerifiedTargets) -> Outcome:
        """Pass a verified event on if it may be, and return the outcome."""
        with self._lock:
            outcome = self._outcome(event, time.time_ns())
        EVENTS.labels(outcome).inc()
        log.info("targets of sequence %s: %s", event.sequence, outcome, extra={"job": event.job})
        return outcome

    def tell_status_until(self, ended: Event) -> None:
        """Tell the transports the status every STATUS_SECONDS, until `ended` is set."""
        while True:
            self.tell_status()
            if ended.wait(STATUS_SECONDS):
                return

    def tell_status(self) -> None:
        """Tell the transports whether the clocks agree."""
        status = Status.ONLINE if self._clock.agrees() else Status.DEGRADED
        with self._lock:
            if status is not self._status:
                log.warning("status: %s", status, extra={"clock_ahead_s": self._clock.offset_s()})
                self._status = status
            for transport in self._transports:
                # The silence of one transport is no reason for that of another.
                try:
                    transport.status(status)
                except Exception:
                    log.exception("a transport has failed")

    def close(self) -> None:
        """Close the transports."""
        with self._lock:
            for transport in self._transports:
                try:
                    transport.close()
                except Exception:
                    log.exception("a transport has failed")

    def _outcome(self, event: VerifiedTargets, now_ns: int) -> Outcome:
        newest = self._newest.get(event.job, (0, 0))
        # The service makes the data anew for each call of an event: a repeated one may be a withdrawal.
        if event.id in self._ids and event.sequence <= newest[0]:
            return Outcome.REPEATED
        if event.order < newest:
            return Outcome.OUTDATED
        left_s = self._left_s(event, now_ns)
        if event.actionable:
            if not self._clock.agrees() or event.produced_ns - now_ns > MOST_CLOCK_OFFSET_S * _NANO:
                return Outcome.REFUSED
            if event.produced_ns < self._began_ns:  # An earlier process may have passed its withdrawal.
                return Outcome.REFUSED
            if left_s < 1:
                return Outcome.EXPIRED
        elif left_s < 1:
            # It takes a permission away, may do so late, and outlives all that it can withdraw.
            left_s = LONGEST_VALIDITY_S
        return self._pass(event, left_s)

    def _left_s(self, event: VerifiedTargets, now_ns: int) -> float:
        left_s = event.remaining_s(now_ns)
        if self._max_age_s is None:
            return left_s
        age_s = (now_ns - (event.acquired_ns or 0)) / _NANO
        return min(left_s, self._max_age_s - age_s)

    def _pass(self, event: VerifiedTargets, left_s: float) -> Outcome:
        """Pass an event to every transport. The failure of one keeps no withdrawal from another."""
        # Also where a transport fails: another one may have sent the event, and nothing older may follow it.
        self._newest[event.job] = event.order
        passed = True
        for transport in self._transports:
            try:
                transport.publish(event, left_s)
            except TransportFull:
                passed = False
            except Exception:
                log.exception("a transport has failed")
                passed = False
        if not passed:
            return Outcome.NOT_TAKEN
        self._ids[event.id] = True
        return Outcome.PASSED
