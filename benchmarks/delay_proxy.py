"""Carries TCP connections as if the server were far away: every byte arrives later."""

import asyncio
from contextlib import suppress
from threading import Thread
from typing import Self

from stack.addresses import HOST


class DelayProxy:
    """Listens on a free port while its context is open, `seconds` of a round trip from the server at `port`.

    `connections` counts those that were made. The kernel here accepts a connection at once, so that its first
    bytes wait for the round trip of the handshake.
    """

    def __init__(self, port: int, seconds: float) -> None:
        self._behind = port
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="delay-proxy", daemon=True)
        self._thread.start()
        listening = asyncio.run_coroutine_threadsafe(asyncio.start_server(self._take, HOST, 0), self._loop)
        self._server = listening.result()
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection(HOST, self._behind)
        accepted = self._loop.time() + self._seconds
        for source, destination in ((reader, far_writer), (far_reader, writer)):
            for task in self._carried(source, destination, accepted):
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def _carried(
        self, source: asyncio.StreamReader, destination: asyncio.StreamWriter, accepted: float
    ) -> tuple[asyncio.Task[None], asyncio.Task[None]]:
        """Carry one direction: one task reads what is sent, the other writes it when it is due."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def read() -> None:
            piece = b"-"
            while piece:
                with suppress(ConnectionError):
                    piece = await source.read(65_536)
                await under_way.put((max(self._loop.time(), accepted) + self._seconds / 2, piece))

        async def write() -> None:
            with suppress(ConnectionError):
                while True:
                    due, piece = await under_way.get()
                    await asyncio.sleep(due - self._loop.time())
                    if not piece:
                        break
                    destination.write(piece)
                    await destination.drain()
            destination.close()

        return asyncio.ensure_future(read()), asyncio.ensure_future(write())
