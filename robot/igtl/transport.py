"""Serves targets to OpenIGTLink clients: a TRANSFORM, the event as a STRING, and a STATUS each second."""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from robot.event import VerifiedTargets
from robot.igtl.messages import Code, status_message, string_message, transform_message
from robot.transport import Status

_log = logging.getLogger(__name__)
_LOOPBACK = "127.0.0.1"
MOST_CLIENTS = 16
_MOST_WAITING = 65_536
"""Bytes that wait for a client, in the kernel and again here: one that lets more wait is cut off."""
_USER_TIMEOUT_MS, _CLOSE_S, _LAST_PORT = 10_000, 1.0, 65_535
_SAID = {
    Code.OK: "The last STRING has a target that is actionable.",
    Code.TIME_OUT: "The last STRING had a target that was actionable. Its validity is over.",
    Code.NOT_READY: "There is no STRING with a target that is actionable, or this process is degraded.",
    Code.DISABLED: "This process ends.",
}


@dataclass(frozen=True)
class _Held:
    """The last event, and until when a client may be given it, by the monotonic clock."""

    messages: bytes
    actionable: bool
    until: float


class IgtlTransport:
    """A server of OpenIGTLink on `address`, HOST:PORT or PORT of the loopback.

    A client that connects late gets the last event, if it is still valid, and the last status. A client that
    does not read is cut off, and holds up no other. The protocol has neither passwords nor encryption.
    Raises ValueError for an address of another form, OSError where the port is taken.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        if not port.isdecimal() or int(port) > _LAST_PORT:
            raise ValueError("HOST:PORT, or PORT, is the form of an address of OpenIGTLink")
        listening = socket.create_server((host or _LOOPBACK, int(port)))
        self.port: int = listening.getsockname()[1]
        self._held: _Held | None = None
        self._status = Status.DEGRADED
        self._clients: set[asyncio.WriteTransport] = set()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._loop.create_server(self._client, sock=listening))
        self._thread = threading.Thread(target=self._serve, name="igtl", daemon=True)
        self._thread.start()

    def publish(self, event: VerifiedTargets, remaining_s: float) -> None:
        """Send an event to all clients, and to those that come within `remaining_s`."""
        held = _Held(_messages(event), event.actionable, time.monotonic() + remaining_s)
        self._loop.call_soon_threadsafe(self._publish, held)

    def status(self, status: Status) -> None:
        """Send the status to all clients."""
        self._loop.call_soon_threadsafe(self._tell, status)

    def close(self) -> None:
        """Send STATUS 15, and end: after a second at most, whether or not clients have read it."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def _client(self) -> asyncio.Protocol:
        return _Client(self._connected, self._clients.discard)

    def _serve(self) -> None:
        self._loop.run_forever()
        for left in self._clients:
            left.abort()
        self._loop.run_until_complete(self._server.wait_closed())
        self._loop.close()

    def _connected(self, client: asyncio.WriteTransport) -> bool:
        if len(self._clients) >= MOST_CLIENTS:
            _log.warning("an OpenIGTLink client is refused: there are %d", MOST_CLIENTS)
            return False
        self._clients.add(client)
        if self._held and time.monotonic() < self._held.until:
            client.write(self._held.messages)
        client.write(self._status_now())
        return True

    def _publish(self, held: _Held) -> None:
        self._held = held
        self._send(held.messages + self._status_now())

    def _tell(self, status: Status) -> None:
        self._status = status
        self._send(self._status_now())

    def _end(self) -> None:
        self._server.close()
        self._tell(Status.OFFLINE)
        for client in self._clients:
            client.close()
        self._loop.create_task(self._stop())

    async def _stop(self) -> None:
        deadline = time.monotonic() + _CLOSE_S
        while self._clients and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._loop.stop()

    def _send(self, messages: bytes) -> None:
        for client in tuple(self._clients):
            client.write(messages)

    def _status_now(self) -> bytes:
        code = _code(self._status, self._held)
        return status_message("Osteo", time.time_ns(), code, _SAID[code])


class _Client(asyncio.Protocol):
    """The connection of a client. What it sends is read and dropped."""

    def __init__(
        self,
        connected: Callable[[asyncio.WriteTransport], bool],
        gone: Callable[[asyncio.WriteTransport], None],
    ) -> None:
        self._connected, self._gone = connected, gone

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_MOST_WAITING)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _MOST_WAITING)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        if not self._connected(transport):
            transport.abort()

    def pause_writing(self) -> None:
        _log.warning("an OpenIGTLink client does not read, and is cut off")
        self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone(self._transport)


def _code(status: Status, held: _Held | None) -> Code:
    if status is Status.OFFLINE:
        return Code.DISABLED
    if status is Status.DEGRADED or held is None or not held.actionable:
        return Code.NOT_READY
    return Code.OK if time.monotonic() < held.until else Code.TIME_OUT


def _messages(event: VerifiedTargets) -> bytes:
    """Return the messages of an event, with the stamp of the acquisition; no TRANSFORM without a camera."""
    camera, stamp_ns = event.document["camera"], event.acquired_ns
    messages = string_message("Targets", stamp_ns, event.raw)
    if camera:
        to_source = np.eye(4)
        to_source[2, 3] = camera["source_to_detector_m"]
        messages = transform_message("DetectorToSource", stamp_ns, to_source) + messages
    return messages
