"""The heartbeat: a process says in Redis that it lives, so that the sweeper knows whose jobs are orphans."""

import logging
import os
import socket
from secrets import token_hex
from threading import Event, Thread

from jobs.record.errors import QueueUnavailable
from jobs.redis.heartbeats import Heartbeats

log = logging.getLogger(__name__)

_BEAT_SECONDS = 2.0


class Heartbeat:
    """Beats from `start` until `stop`; `name` is role:host:pid:nonce."""

    def __init__(self, heartbeats: Heartbeats, role: str) -> None:
        # A restarted container has the host name and process id of the one before, and not its jobs.
        self.name = f"{role}:{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self._heartbeats = heartbeats
        self._stopped = Event()

    def start(self) -> None:
        """Begin to beat, in a thread of its own."""
        Thread(target=self._run, name="heartbeat", daemon=True).start()

    def stop(self) -> None:
        """Stop, and say that this process holds nothing any more."""
        self._stopped.set()
        try:
            self._heartbeats.end(self.name)
        except QueueUnavailable:
            log.warning("Redis does not answer; the heartbeat will run out")

    def _run(self) -> None:
        while True:
            try:
                self._heartbeats.beat(self.name)
            except QueueUnavailable:
                log.warning("Redis does not answer; no heartbeat")
            if self._stopped.wait(_BEAT_SECONDS):
                return
