"""Sends notices in threads of its own: a destination that is slow or fails delays no other."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock, Thread

from jobs.reading.notices import NoticeIndex, Stage
from jobs.reading.reading import Reading
from jobs.record.errors import TransientError
from worker.notices.metrics import REFUSED, SENT, UNANSWERED, count_notice

log = logging.getLogger(__name__)

MOST_DESTINATIONS = {"mail": 1, "push": 8}
"""Destinations of each kind that are sent to at a time, each by one thread."""
MOST_WAITING = 1000
"""Most notices that wait for one destination. The others are offered again later."""
_MOST_UNANSWERED = 3
"""Notices in a row that a destination does not answer, after which it is paused."""
_SHORTEST_PAUSE, _LONGEST_PAUSE = 10.0, 600.0


@dataclass(frozen=True)
class Notice:
    """What one receiver is told of one stage of a reading.

    `kind`: mail or push. `destination`: the server that takes it. `send` returns an outcome of
    worker.notices.metrics.
    """

    reading: Reading
    stage: Stage
    receiver: str
    kind: str
    destination: str = field(repr=False)
    send: Callable[[], str] = field(repr=False)

    @property
    def name(self) -> tuple[str, Stage, str]:
        """What it is known by."""
        return self.reading.id, self.stage, self.receiver


class Outbox:
    """The notices that are being sent. What is lost with the process is offered again by the next one."""

    def __init__(self, index: NoticeIndex) -> None:
        self._index = index
        self._lock = Lock()
        self._waiting: dict[str, deque[Notice]] = {}
        """The notices of each destination that has a thread."""
        self._busy = dict.fromkeys(MOST_DESTINATIONS, 0)
        self._held: set[tuple[str, Stage, str]] = set()
        self._failed: set[tuple[str, Stage, str]] = set()
        """Those that come after the others, so that one bad receiver delays no other one of its server."""
        self._paused: dict[str, tuple[int, float]] = {}
        """How often each destination was paused in a row, and until when."""

    def offer(self, notice: Notice) -> None:
        """Send a notice soon, unless it is being sent already, or its destination takes none now."""
        with self._lock:
            waiting = self._waiting.get(notice.destination)
            if notice.name in self._held or len(waiting or ()) >= MOST_WAITING:
                return
            if waiting is None:
                _, until = self._paused.get(notice.destination, (0, 0.0))
                if until > time.monotonic() or self._busy[notice.kind] >= MOST_DESTINATIONS[notice.kind]:
                    return
                waiting = self._waiting[notice.destination] = deque()
                self._busy[notice.kind] += 1
                work = (notice.destination, notice.kind)
                Thread(target=self._send_all, args=work, name=f"notices-{notice.kind}", daemon=True).start()
            self._held.add(notice.name)
            if notice.name in self._failed:
                waiting.append(notice)
            else:
                waiting.appendleft(notice)

    def idle(self) -> bool:
        """Return whether nothing is being sent."""
        with self._lock:
            return not self._waiting

    def _send_all(self, destination: str, kind: str) -> None:
        unanswered = 0
        while notice := self._next(destination, kind, unanswered):
            outcome = self._send(notice)
            unanswered = unanswered + 1 if outcome == UNANSWERED else 0
            with self._lock:
                self._held.discard(notice.name)
                if outcome == SENT:
                    self._failed.discard(notice.name)
                else:
                    if len(self._failed) >= 10 * MOST_WAITING:  # Those of readings that are over stay in it.
                        self._failed.clear()
                    self._failed.add(notice.name)
                if outcome != UNANSWERED:
                    self._paused.pop(destination, None)

    def _next(self, destination: str, kind: str, unanswered: int) -> Notice | None:
        """Return the next notice of a destination; None where its thread ends."""
        with self._lock:
            waiting = self._waiting[destination]
            if waiting and unanswered < _MOST_UNANSWERED:
                return waiting.popleft()
            if unanswered >= _MOST_UNANSWERED:
                times, _ = self._paused.get(destination, (0, 0.0))
                pause = min(_SHORTEST_PAUSE * 2**times, _LONGEST_PAUSE)
                self._paused[destination] = (times + 1, time.monotonic() + pause)
                log.warning("no notice goes to this %s server for %d s: it does not answer", kind, pause)
            self._held -= {notice.name for notice in waiting}
            del self._waiting[destination]
            self._busy[kind] -= 1
            return None

    def _send(self, notice: Notice) -> str:
        """Send one notice, and write down that it was sent: only then, so that none is lost."""
        about = {"job": notice.reading.job}
        try:
            if self._index.was_told(*notice.name):  # By another process.
                return SENT
            outcome = notice.send()
        except TransientError as error:
            log.warning("a notice waits for the object store: %s", error, extra=about)
            return REFUSED
        except Exception as error:
            # Without its text, which may have an address.
            log.error("a notice cannot be sent: %s", type(error).__name__, extra=about)
            outcome = REFUSED
        count_notice(notice.kind, outcome)
        log.info("notice by %s: %s", notice.kind, outcome, extra=about)
        if outcome == SENT:
            try:
                self._index.note(*notice.name)
            except TransientError as error:
                log.warning("a notice may be sent twice: %s", error, extra=about)
        return outcome
