"""Sends many X-rays at once, and watches their jobs until they have ended."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from osteo_client.async_client import AsyncClient, AsyncJobHandle
from osteo_client.command.exits import ENDED_WITHOUT_RESULT, REFUSED
from osteo_client.command.files import Files
from osteo_client.command.overlays import Overlays
from osteo_client.command.progress import Bar, Output
from osteo_client.command.radiographs import Radiograph
from osteo_client.command.submitted import Submitted, key_of
from osteo_client.errors import Gone, ImageRefused, NoSuchJob
from osteo_client.job import Priority

T = TypeVar("T")

SENT_AT_ONCE = 4
WATCHED_AT_ONCE = 16


@dataclass
class Sending:
    """Sends X-rays, each once, also when it is started again over the same folders."""

    client: AsyncClient
    url: str
    callback_url: str | None
    priority: Priority | None
    output: Output
    files: Files
    say_jobs: bool
    """Whether each job is printed as soon as it is accepted."""
    upload: bool = False
    """Whether images go past the API."""
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How each is read, and what for, as far as given: `read`, `due_seconds`, `training_use` and so on."""
    status: int = 0
    """The exit status so far."""
    _submitted: dict[Path, Submitted] = field(default_factory=dict)

    def refuse(self, file: Path, error: OSError) -> None:
        """Report that a file or folder is not sent, and why."""
        self.output.error(error, file=str(file))
        self.status = REFUSED

    async def all(self, found: Sequence[Radiograph]) -> dict[str, list[str]]:
        """Send what has not been sent; return the files of each job. What the service refuses is reported."""
        jobs: dict[str, list[str]] = {}

        async def send(radiograph: Radiograph) -> None:
            file = str(radiograph.file)
            try:
                job_id = await self._job_of(radiograph)
            except OSError as error:
                self.refuse(radiograph.file, error)
            except ImageRefused as error:
                self.output.error(error, file=file)
                self.status = REFUSED
            else:
                # The same picture twice is one job.
                jobs.setdefault(job_id, []).append(file)
                # A list that takes no writes costs names in later runs, and nothing else.
                with suppress(OSError):
                    self.files.add(job_id, radiograph.file)
                if self.say_jobs:
                    self.output.line(f"{job_id}  {file}", id=job_id, file=file)
            bar.step()

        with Bar("sending", len(found)) as bar:
            await _run_at_once(SENT_AT_ONCE, found, send)
        return jobs

    async def _job_of(self, radiograph: Radiograph) -> str:
        image = radiograph.file.read_bytes()
        # Without a word of readings it is the key of earlier versions: their runs go on.
        key = key_of(image, self.callback_url, self.priority, *map(str, chain(*sorted(self.reading.items()))))
        submitted = self._submitted_from(radiograph.folder)
        if submitted and (known := submitted.job_of(key)):
            return known
        handle = await self.client.submit(
            image,
            callback_url=self.callback_url,
            priority=self.priority,
            idempotency_key=key,
            upload=self.upload,
            **self.reading,
        )
        if submitted:
            try:
                submitted.add(key, handle.id)
            except OSError as error:
                self._say_unkept(submitted, error)
        return handle.id

    def _say_unkept(self, submitted: Submitted, error: OSError) -> None:
        if submitted.kept:
            submitted.kept = False
            why = f"what was sent is not kept here ({error.strerror})"
            what_then = "sent again within a week, an image is the same job"
            self.output.error(OSError(f"{why}; {what_then}"), folder=str(submitted.folder))

    def _submitted_from(self, folder: Path | None) -> Submitted | None:
        if folder is None:
            return None
        if folder not in self._submitted:
            submitted = self._submitted[folder] = Submitted(folder, self.url)
            if submitted.unread:
                self._say_unkept(submitted, submitted.unread)
        return self._submitted[folder]


async def watch(
    client: AsyncClient,
    job_ids: Sequence[str],
    files: Callable[[str], list[str]],
    output: Output,
    overlays: Overlays | None = None,
) -> int:
    """Print how each job ended, as soon as it has; return the exit status. `files` lists a job's files."""
    status = 0
    seen: dict[str, AsyncJobHandle] = {}

    async def look(job_id: str) -> None:
        nonlocal status
        try:
            seen[job_id] = await client.job(job_id)
            job = await seen[job_id].wait()
        except (NoSuchJob, Gone) as error:
            output.error(error, id=job_id)
            status = REFUSED
        else:
            names: list[str | None] = [*files(job_id)] or [None]
            for file in names:
                output.job(job, file)
            if overlays and job.result:
                overlays.write(job_id, names, await seen[job_id].heatmap())
            status = status or (0 if job.state == "succeeded" else ENDED_WITHOUT_RESULT)
        states = Counter(handle.job.state for handle in seen.values())
        bar.step(", ".join(f"{count} {state}" for state, count in sorted(states.items())))

    with Bar("analysing", len(job_ids)) as bar:
        await _run_at_once(WATCHED_AT_ONCE, job_ids, look)
    return status


async def _run_at_once(width: int, items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for all items, in order, for `width` of them at a time. The first error ends it."""
    left = iter(items)

    async def worker() -> None:
        for item in left:
            await work(item)

    await run_workers(width, worker)


async def run_workers(width: int, worker: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run so many workers until all have ended. The first error ends it."""
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(width):
                group.create_task(worker())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
