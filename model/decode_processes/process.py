"""Starts one decode process, sends it files, and ends it where it does not answer."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.decode_processes.wire import connected, receive, send
from model.errors import NoDecoder

START_SECONDS = 60.0
"""For so long a process may load its libraries: a second or less on an idle machine."""
ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    # TIFF holds JPEG, too, out of sight of model.decode.headers.jpeg.
    "LIBTIFF_JPEG_MAX_ALLOWED_SCAN_NUMBER": "32",
    # What one picture took is kept for the next: to give it back costs more than half of decoding it.
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""All of a process's environment: nothing of the server's is in it."""
_ROOT = Path(__file__).parents[2]


class Ended(Exception):
    """The process has ended, by itself or by force, while it decoded a file."""


@dataclass(frozen=True)
class Bounds:
    """What a decode process may take for one file.

    `cpu_seconds` of processor time for each 10 million pixels, `seconds` in all, `megabytes` of memory.
    """

    max_pixels: int = 50_000_000
    cpu_seconds: int = 4
    seconds: float = 60.0
    megabytes: int = 2_048


class Process:
    """A process that decodes one file after another."""

    def __init__(self, bounds: Bounds) -> None:
        """Start it, without waiting until it is ready. Raises NoDecoder."""
        self._bounds = bounds
        self._ready = False
        self._connection, theirs = connected()
        numbers = (bounds.max_pixels, bounds.cpu_seconds, bounds.megabytes)
        with theirs:
            try:
                self._process = subprocess.Popen(
                    (sys.executable, "-m", "model.decode_processes.child", *map(str, numbers)),
                    cwd=_ROOT,
                    env=ENVIRONMENT,
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    # What stops the server's group must not stop what the server still waits for.
                    start_new_session=True,
                )
            except OSError as error:
                self._connection.close()
                raise NoDecoder(f"a decode process does not start: {error}") from error

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def ask(self, header: dict[str, Any], data: bytes, most: int) -> tuple[dict[str, Any], bytes]:
        """Send a file and receive the answer to it, of `most` bytes at most.

        Raises Ended, once it has ended, and NoDecoder where it does not start.
        """
        self._wait_until_ready()
        try:
            self._connection.settimeout(self._bounds.seconds)
            send(self._connection, header, data)
            return receive(self._connection, most)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            raise Ended(f"{type(error).__name__}, exit status {self._process.returncode}") from error

    def end(self) -> None:
        """End it by force, unless it has ended by itself, and wait until it has."""
        self._connection.close()
        self._process.kill()
        self._process.wait()

    def _wait_until_ready(self) -> None:
        if self._ready:
            return
        try:
            self._connection.settimeout(START_SECONDS)
            receive(self._connection, 0)
        except (OSError, EOFError, ValueError) as error:
            self.end()
            status = self._process.returncode
            raise NoDecoder(f"a decode process ended with {status} before it was ready") from error
        self._ready = True
