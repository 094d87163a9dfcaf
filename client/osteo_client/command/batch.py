"""Runs `osteo batch`: sends a whole archive as a bounded stream, after all that a patient waits for."""

import argparse
import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from osteo_client.async_client import AsyncClient, AsyncJobHandle
from osteo_client.command.archive import Archive, Entry, archive_of
from osteo_client.command.batch_state import BatchState
from osteo_client.command.exits import ENDED_WITHOUT_RESULT, REFUSED
from osteo_client.command.jobs import PATIENCE_WITH_MANY
from osteo_client.command.many import SENT_AT_ONCE, run_workers
from osteo_client.command.progress import Output
from osteo_client.command.submitted import key_of
from osteo_client.command.table import row_of, table
from osteo_client.command.whole import write_whole
from osteo_client.errors import Gone, ImageRefused, NoSuchJob
from osteo_client.job import Priority

PRIORITY: Priority = "archive"
AT_ONCE = 32
"""Jobs under way. More would wait in the service, and none sooner for it."""
MOST_AT_ONCE = 100
"""As many as the connections of one client."""
_PAGE = 1000
"""Images that are listed together."""


def batch(given: argparse.Namespace, output: Output) -> int:
    """Have every image of an archive analysed; return the exit status."""
    archive = archive_of(given.source)
    state = BatchState(given.url, archive.identity)

    async def run() -> int:
        async with AsyncClient(given.url, given.key, patience=PATIENCE_WITH_MANY) as client:
            return await _Stream(client, state, output).run(archive, given.at_once)

    try:
        status = asyncio.run(run())
        counts = state.counts()
        words = ", ".join(f"{count} {what}" for what, count in counts.items())
        output.line(f"{sum(counts.values())} images: {words}", images=sum(counts.values()), counts=counts)
        if given.table:
            write_whole(given.table, table(state.rows()))
    finally:
        state.close()
    return status


@dataclass
class _Stream:
    """Takes the images of an archive one after another, each to its end."""

    client: AsyncClient
    state: BatchState
    output: Output
    status: int = 0
    _sending: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(SENT_AT_ONCE))
    """Bounds how many images are in memory."""
    _listing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _listed: deque[Entry] = field(default_factory=deque)

    def refuse(self, file: Path, error: OSError) -> None:
        """Report what cannot be read. The next run tries it again."""
        self.output.error(error, file=str(file))
        self.status = max(self.status, REFUSED)

    async def run(self, archive: Archive, at_once: int) -> int:
        """Take all images, so many at once; return the exit status. An error of the service ends it."""
        entries = archive.entries(self.refuse)

        async def worker() -> None:
            while entry := await self._next(entries):
                await self._take(archive, entry)

        await run_workers(at_once, worker)
        return self.status

    async def _next(self, entries: Iterator[Entry]) -> Entry | None:
        """Return the next image that has not ended yet."""
        async with self._listing:
            while not self._listed:
                # Listing waits for a disk or a network, which must not hold up the jobs under way.
                if not (page := await asyncio.to_thread(list, islice(entries, _PAGE))):
                    return None
                self._listed.extend(entry for entry in page if not self._ended(entry))
            return self._listed.popleft()

    def _ended(self, entry: Entry) -> bool:
        known = self.state.known(entry)
        return known is not None and known.ended

    async def _take(self, archive: Archive, entry: Entry) -> None:
        known = self.state.known(entry)
        try:
            handle = await self._handle(known.job if known else None) or await self._sent(archive, entry)
            job = await handle.wait()
        except OSError as error:
            self.refuse(Path(entry.name), error)
        except ImageRefused as error:
            self.output.error(error, file=entry.name)
            self.status = max(self.status, REFUSED)
            self.state.put(entry, {"error": str(error)}, ended=True)
        except (NoSuchJob, Gone) as error:
            # It was deleted while this run waited for it.
            self.output.error(error, file=entry.name)
            self.status = max(self.status, ENDED_WITHOUT_RESULT)
        else:
            self.state.put(entry, row_of(job, entry.name), ended=True)
            self.output.job(job, entry.name)
            if job.state != "succeeded":
                self.status = max(self.status, ENDED_WITHOUT_RESULT)

    async def _handle(self, job_id: str | None) -> AsyncJobHandle | None:
        """Return the job of an earlier run, if there still is one."""
        if job_id is None:
            return None
        try:
            return await self.client.job(job_id)
        except (NoSuchJob, Gone):
            return None

    async def _sent(self, archive: Archive, entry: Entry) -> AsyncJobHandle:
        async with self._sending:
            image = await asyncio.to_thread(archive.read, entry)
            handle = await self.client.submit(
                image, priority=PRIORITY, idempotency_key=key_of(image, None, PRIORITY)
            )
        self.state.put(entry, {"job": handle.id, "state": handle.job.state}, ended=False)
        return handle
