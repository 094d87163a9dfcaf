"""Runs one part of the stack: a command line and its process."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stack.answers import Question
from stack.parent import end_with_parent

ROOT = Path(__file__).resolve().parent.parent
"""The repository root, in which every part runs."""
_LAST_LINES = 12
_LAST_BYTES = 8192
_OWN_LOGGERS = ("api", "jobs", "model", "worker")


@dataclass(frozen=True)
class Command:
    """How to run a part, and how to ask whether it answers."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    answers: Question


class Part:
    """A command and its process, in a session of its own, with its output in `log`.

    The process receives SIGTERM when this one ends in any way, and inherits the descriptor `lock`.
    """

    def __init__(self, command: Command, log: Path, lock: int) -> None:
        self.name = command.name
        self.log = log
        self.ready = False
        self.ready_since = 0.0
        self.deaths: list[float] = []
        self._command = command
        self._lock = lock
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run the command. `pid`, `since` and `ended` (a descriptor, readable when it has) are valid now."""
        with self.log.open("ab") as output:
            self._read_to = output.tell()
            self._process = subprocess.Popen(
                self._command.arguments,
                cwd=ROOT,
                env=self._command.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._lock,),
                preexec_fn=end_with_parent(),
            )
        self.pid = self._process.pid
        self.ended = os.pidfd_open(self.pid)
        self.since = time.monotonic()
        self.ready = False

    @property
    def running(self) -> bool:
        """Whether there is a process that `collect` has not waited for."""
        return self._process is not None

    def look(self) -> bool:
        """Ask whether the part answers, and keep the answer in `ready`."""
        self.ready = self._command.answers(self.pid)
        if self.ready:
            self.ready_since = time.monotonic()
        return self.ready

    def terminate(self) -> None:
        """Ask the process to finish what it does and end. It passes this on to its own children."""
        signal.pidfd_send_signal(self.ended, signal.SIGTERM)

    def kill(self) -> None:
        """End the process and everything in its group at once."""
        os.killpg(self.pid, signal.SIGKILL)

    def collect(self) -> str:
        """Wait for a process that has ended or was killed, and say how it ended."""
        assert self._process is not None
        # The leader was not waited for yet, so the number of its group cannot belong to another one.
        self.kill()
        status = self._process.wait()
        os.close(self.ended)
        self._process = None
        self.ready = False
        if status < 0:
            return f"was killed by {signal.Signals(-status).name}"
        return f"ended with exit status {status}"

    def progress(self) -> list[str]:
        """Read what this project's own code has logged since the last call, or since the part's start."""
        with self.log.open("rb") as log:
            log.seek(self._read_to)
            whole, newline, _ = log.read().rpartition(b"\n")
        self._read_to += len(whole) + len(newline)
        return [message for line in whole.splitlines() if (message := _message(line))]

    def last_lines(self) -> str:
        """Quote the last lines of the log, indented, and where it lies."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _LAST_BYTES))
            lines = log.read().decode(errors="replace").splitlines()[-_LAST_LINES:]
        return "\n".join([f"The end of {self.log}:", *(f"    {line}" for line in lines)])


def _message(line: bytes) -> str | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    own = isinstance(document, dict) and str(document.get("logger")).partition(".")[0] in _OWN_LOGGERS
    return document.get("message") if own else None
