"""An OpenIGTLink client that checks every message, in order, and knows STATUS, which pyigtl does not."""

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import crcmod

_crc64 = crcmod.mkCrcFun(0x142F0E1EBA9EA3693, initCrc=0, rev=False, xorOut=0)


@dataclass(frozen=True)
class Message:
    kind: str
    device: str
    stamp_s: float
    body: bytes

    @property
    def code(self) -> int:
        """The code of a STATUS."""
        assert self.kind == "STATUS"
        return int(struct.unpack(">H", self.body[:2])[0])


class Listener:
    """A connection to a server."""

    def __init__(self, port: int) -> None:
        self.connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._file = self.connection.makefile("rb")

    def next(self) -> Message:
        """The next message. Raises EOFError where the server has ended the connection."""
        header = self._file.read(58)
        if len(header) < 58:
            raise EOFError
        version, kind, device, seconds, fraction, length, checksum = struct.unpack(">H12s20sIIQQ", header)
        body = self._file.read(length)
        assert (version, checksum) == (1, _crc64(body))
        names = (name.rstrip(b"\0").decode() for name in (kind, device))
        return Message(*names, seconds + fraction / 2**32, body)

    def next_code(self) -> int:
        """The code of the next STATUS."""
        while (message := self.next()).kind != "STATUS":
            pass
        return message.code

    def close(self) -> None:
        self._file.close()
        self.connection.close()


@contextlib.contextmanager
def listening(port: int) -> Iterator[Listener]:
    listener = Listener(port)
    try:
        yield listener
    finally:
        listener.close()
