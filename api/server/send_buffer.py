"""Buffers the bytes of answers until the socket takes them, in memory while they are few."""

import fcntl
import socket
import termios
from array import array
from collections import deque
from tempfile import TemporaryFile
from typing import IO

IN_MEMORY = 256 * 1024
"""Bytes above which the waiting part of an answer goes into a temporary file."""
AT_ONCE = 64
"""Most buffers in one call of the socket."""


class SendBuffer:
    """The sending half of a socket that never blocks. gunicorn's Response writes to it as to a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[memoryview] = deque()
        self._file: IO[bytes] | None = None
        self._sent = 0

    def sendall(self, data: bytes) -> None:
        """Add `data` to the end."""
        if data:
            self._waiting.append(memoryview(data))

    def gettimeout(self) -> float:
        """Return the timeout of a socket that does not block."""
        return 0.0

    def flush(self) -> bool:
        """Send what the socket takes. Returns True once nothing is left. Raises OSError."""
        while self._waiting or self._refilled():
            try:
                count = self._sock.sendmsg(
                    [self._waiting[n] for n in range(min(AT_ONCE, len(self._waiting)))]
                )
            except BlockingIOError:
                self._spill()
                return False
            self._sent += count
            while count:
                first = self._waiting.popleft()
                if count < len(first):
                    self._waiting.appendleft(first[count:])
                count = max(0, count - len(first))
        return True

    def acknowledged(self) -> int:
        """Return how many bytes the client's side has acknowledged in all."""
        return self._sent - array("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))[0]

    def close(self) -> None:
        """Drop what was not sent."""
        self._waiting.clear()
        if self._file:
            self._file.close()
            self._file = None

    def _spill(self) -> None:
        if self._file or sum(map(len, self._waiting)) <= IN_MEMORY:
            return
        self._file = TemporaryFile()  # noqa: SIM115 - closed when it is sent
        self._file.writelines(self._waiting)
        self._file.seek(0)
        self._waiting.clear()

    def _refilled(self) -> bool:
        if self._file is None:
            return False
        if data := self._file.read(IN_MEMORY):
            self._waiting.append(memoryview(data))
            return True
        self._file.close()
        self._file = None
        return False
