"""What is on its way to a client: as much as the socket takes at once, the rest kept until it takes more."""

import fcntl
import socket
import termios
from array import array
from collections import deque
from tempfile import TemporaryFile
from typing import IO

IN_MEMORY = 256 * 1024
"""Bytes of an answer that wait in memory for a client that does not read; more of them go into a file."""
AT_ONCE = 64
"""Buffers that one call sends."""


class Outbox:
    """The sending half of a socket that never blocks; gunicorn's Response writes into it as into a socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[memoryview] = deque()
        self._file: IO[bytes] | None = None
        self._sent = 0

    def sendall(self, data: bytes) -> None:
        """Put `data` at the end."""
        if data:
            self._waiting.append(memoryview(data))

    def gettimeout(self) -> float:
        """As of a socket that does not block."""
        return 0.0

    def flush(self) -> bool:
        """Send what the socket takes; True once nothing is left. Raises OSError where the client is gone."""
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
        """How many bytes have reached the client's side, ever."""
        return self._sent - array("i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))[0]

    def close(self) -> None:
        """Let go of what was not sent."""
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
