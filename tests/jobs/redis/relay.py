"""Stands before a server, and can fall silent as a firewall that has forgotten its connections."""

import socket
from contextlib import suppress
from threading import Thread
from typing import Self

from stack.addresses import HOST


class Relay:
    """Listens on a free port of this machine while its context is open, before the server at `port`."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._carried: list[socket.socket] = []
        self._silent: set[socket.socket] = set()

    def __enter__(self) -> Self:
        self._server = socket.create_server((HOST, 0))
        self.port = self._server.getsockname()[1]
        Thread(target=self._take, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._server, *self._carried):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def forget(self) -> None:
        """Carry nothing more on the connections that there are: no byte and no end. New ones are carried."""
        self._silent.update(self._carried)

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.create_connection((HOST, self._behind))
                self._carried += (near, far)
                for source, destination in ((near, far), (far, near)):
                    Thread(target=self._carry, args=(source, destination), daemon=True).start()

    def _carry(self, source: socket.socket, destination: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                if source not in self._silent:
                    destination.sendall(piece)
            if source not in self._silent:
                destination.shutdown(socket.SHUT_WR)
