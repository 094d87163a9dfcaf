"""Carries messages between a server and its decode processes: a JSON header, and bytes in shared memory.

The bytes are read out of that memory and never mapped: the other side may do to it what it likes meanwhile.
"""

import json
import os
import socket
from typing import Any

_MOST_HEADER = 64 * 1024


def connected() -> tuple[socket.socket, socket.socket]:
    """Make both ends of a connection that keeps messages apart."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(connection: socket.socket, header: dict[str, Any], body: bytes | memoryview = b"") -> None:
    """Send one message. Raises OSError."""
    memory = os.memfd_create("osteo-picture")
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(memory, rest) :]
        socket.send_fds(connection, [json.dumps(header).encode()], [memory])
    finally:
        os.close(memory)


def receive(connection: socket.socket, most: int) -> tuple[dict[str, Any], bytes]:
    """Receive one message, whose bytes are `most` at most.

    Raises EOFError where the other side has ended, ValueError for what is no such message, OSError.
    """
    text, memories, _, _ = socket.recv_fds(connection, _MOST_HEADER, 1)
    if not memories:
        raise EOFError
    (memory,) = memories
    try:
        size = os.fstat(memory).st_size
        header = json.loads(text)
        if size > most or not isinstance(header, dict):
            raise ValueError("no message that may be")
        return header, os.pread(memory, size, 0)
    finally:
        os.close(memory)
