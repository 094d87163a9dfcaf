"""Compares the clock of this machine with the service's, by the header `Date` of its answers."""

import logging
import ssl
import time
from collections import deque
from email.utils import parsedate_to_datetime
from threading import Event, Lock

import urllib3

from jobs.targets.freshness import MOST_CLOCK_OFFSET_S

log = logging.getLogger(__name__)

_EVERY_S = 5.0
_LASTS_S = 20.0
"""For how long a comparison holds, where later ones fail."""
_COMPARED = 12


class ServiceClock:
    """Knows by how much the two clocks differ, as long as the service answers.

    `Date` has whole seconds. Each answer gives two bounds for the service's time, and several give narrower
    ones. They are kept relative to the monotonic clock, so that a step of ours shows at once.

    `ca` is a file of certificates, in place of the system's. Raises OSError where it cannot be read.
    """

    def __init__(self, url: str, ca: str | None = None) -> None:
        self._url = f"{url.rstrip('/')}/health/live"
        tls = ssl.create_default_context(cafile=ca)
        self._http = urllib3.PoolManager(timeout=2.0, retries=False, ssl_context=tls)
        self._bounds: deque[tuple[float, float]] = deque(maxlen=_COMPARED)
        self._compared_at: float | None = None
        self._lock = Lock()

    def compare_until(self, ended: Event) -> None:
        """Ask the service for its time every few seconds, until `ended` is set."""
        while True:
            self.compare()
            if ended.wait(_EVERY_S):
                return

    def compare(self) -> None:
        """Ask the service for its time once. A failure is logged."""
        sent = time.monotonic()
        try:
            answer = self._http.request("GET", self._url, headers={"Cache-Control": "no-store"})
            received = time.monotonic()
            service_s = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        except (urllib3.exceptions.HTTPError, KeyError, ValueError, TypeError) as error:
            log.warning("the service does not tell its time: %s", type(error).__name__)
            return
        if answer.status != 200 or "Age" in answer.headers:  # A cache answers with an old `Date`.
            log.warning("the service does not tell its time: status %s, or from a cache", answer.status)
            return
        self.told(service_s, sent, received)

    def told(self, service_s: float, sent: float, received: float) -> None:
        """Take a `Date`, and the moments by the monotonic clock between which it was made."""
        bounds = (service_s - received, service_s + 1 - sent)
        with self._lock:
            self._bounds.append(bounds)
            least, most = self._narrowest()
            if least > most:  # The service's clock was set: what it said before is void.
                self._bounds.clear()
                self._bounds.append(bounds)
            self._compared_at = received

    def offset_s(self) -> float | None:
        """Return by how much our clock is ahead of the service's; None where that is not known."""
        now = time.monotonic()
        with self._lock:
            if self._compared_at is None or now - self._compared_at > _LASTS_S:
                return None
            least, most = self._narrowest()
        return time.time() - now - (least + most) / 2

    def agrees(self) -> bool:
        """Return whether the clocks are known to differ by no more than MOST_CLOCK_OFFSET_S."""
        offset = self.offset_s()
        return offset is not None and abs(offset) <= MOST_CLOCK_OFFSET_S

    def _narrowest(self) -> tuple[float, float]:
        return max(least for least, _ in self._bounds), min(most for _, most in self._bounds)
