"""Supervises the parts: starts them, waits for their events, restarts what dies and stops all."""

import selectors
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType

from stack.errors import GaveUp, StopRequested
from stack.part import Part
from stack.say import say

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_ASK_SECONDS = 0.25
"""Pause between two questions to a part that does not answer yet; nothing is asked once all do."""
START_SECONDS = 300
"""A part that does not answer after this long is given up."""
GRACE_SECONDS = 35
"""What a part may take to finish what it runs, before it is killed."""
_MOST_DEATHS = 3
_DEATHS_SECONDS = 60


class Supervisor:
    """Runs parts as long as its context is open. Leaving the context stops them all, in `stop_order`.

    Raises StopRequested out of `settle` and `watch` on Ctrl-C, SIGTERM and SIGHUP, and GaveUp for a part that
    does not start or dies again and again.
    """

    def __init__(self, stop_order: Sequence[Iterable[str]]) -> None:
        self._stop_order = stop_order
        self._parts: list[Part] = []
        self._changed: Callable[[], None] = lambda: None

    def __enter__(self) -> "Supervisor":
        self._events = selectors.DefaultSelector()
        self._signals, writer = socket.socketpair()
        self._writer = writer
        for end in (self._signals, writer):
            end.setblocking(False)
        self._events.register(self._signals, selectors.EVENT_READ)
        signal.set_wakeup_fd(writer.fileno())
        self._before = {number: signal.signal(number, lambda *_: None) for number in STOP_SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for names in self._stop_order:
            self._stop([part for part in self._parts if part.name in names])
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._events.close()
        self._signals.close()
        self._writer.close()

    @property
    def pids(self) -> dict[str, int]:
        """The process id of each part by its name."""
        return {part.name: part.pid for part in self._parts}

    def begin(self, parts: Sequence[Part]) -> None:
        """Start `parts` and return at once."""
        for part in parts:
            say(f"starting {part.name} ...")
            self._run(part)
            self._parts.append(part)

    def settle(self, parts: Sequence[Part]) -> None:
        """Return when all of `parts` answer."""
        self._until(lambda: all(part.ready for part in parts))

    def watch(self, changed: Callable[[], None]) -> None:
        """Keep every part running; `changed` is called when a restarted one answers."""
        self._changed = changed
        self._until(lambda: False)

    def _run(self, part: Part) -> None:
        part.start()
        self._events.register(part.ended, selectors.EVENT_READ, part)

    def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            silent = [part for part in self._parts if not part.ready]
            for key, _ in self._events.select(_ASK_SECONDS if silent else None):
                if key.data is None:
                    raise StopRequested(self._signal().name)
                self._died(key.data)
            for part in silent:
                self._ask(part)

    def _ask(self, part: Part) -> None:
        for line in part.progress():
            say(f"  {part.name}: {line}")
        if part.look():
            say(f"  {part.name} ok in {time.monotonic() - part.since:.1f} s")
            if part.deaths:
                self._changed()
        elif time.monotonic() - part.since > START_SECONDS:
            raise GaveUp(f"{part.name} does not answer after {START_SECONDS} s. {part.last_lines()}")

    def _died(self, part: Part) -> None:
        started_before = part.ready_since > 0
        pid, how = part.pid, self._leave(part)
        say(f"{part.name} (process {pid}) died: {how}. {part.last_lines()}")
        if not started_before:
            raise GaveUp(f"{part.name} {how} before it was ready; {part.log} says more.")
        now = time.monotonic()
        part.deaths = [t for t in part.deaths if now - t < _DEATHS_SECONDS or t > part.ready_since] + [now]
        if len(part.deaths) > _MOST_DEATHS:
            raise GaveUp(f"{part.name} died {len(part.deaths)} times in short order, the last time: {how}.")
        say(f"restarting {part.name} ...")
        self._run(part)

    def _stop(self, parts: Iterable[Part]) -> None:
        running = {part for part in parts if part.running}
        if running:
            say(f"stopping {', '.join(sorted(part.name for part in running))} ...")
        for part in running:
            part.terminate()
        began = time.monotonic()
        while running and (left := began + GRACE_SECONDS - time.monotonic()) > 0:
            for key, _ in self._events.select(left):
                if key.data is not None:
                    self._leave(key.data)
                    running.discard(key.data)
                elif self._signal() is signal.SIGINT and time.monotonic() - began > 1:
                    began = -GRACE_SECONDS  # Ctrl-C once more: this person does not want to wait.
        for part in running:
            say(f"{part.name} does not end; it is killed.")
            part.kill()
            self._leave(part)

    def _leave(self, part: Part) -> str:
        self._events.unregister(part.ended)
        return part.collect()

    def _signal(self) -> signal.Signals:
        return signal.Signals(self._signals.recv(1)[0])
