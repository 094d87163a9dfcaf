"""Runs `osteo submit`, `status`, `watch`, `result`, `heatmap`, `cancel` and `delete`."""

import argparse
import asyncio
from collections.abc import Callable
from pathlib import Path

from osteo_client.async_client import AsyncClient
from osteo_client.client import Client, JobHandle
from osteo_client.command import many
from osteo_client.command.exits import status_of
from osteo_client.command.files import Files
from osteo_client.command.overlays import Overlays
from osteo_client.command.progress import Output
from osteo_client.command.radiographs import radiographs
from osteo_client.errors import OsteoError

PATIENCE, PATIENCE_WITH_MANY = 15.0, 3600.0
"""Seconds during which a busy service is asked again. A folder may be more than a quota allows at once."""
OF_A_READING = ("read", "due_seconds", "question", "training_use", "consent_reference")
"""The options of `osteo submit` that say how a job is read, and what for."""


def submit(given: argparse.Namespace, output: Output) -> int:
    """Submit files and folders; with `--wait` say how each job ended."""
    # A table and overlays tell of ends.
    wait = given.wait or given.csv or given.heatmaps

    async def run() -> int:
        async with AsyncClient(given.url, given.key, patience=PATIENCE_WITH_MANY) as client:
            sending = many.Sending(
                client,
                given.url,
                given.callback,
                given.priority,
                output,
                Files(given.url),
                say_jobs=not wait,
                upload=given.upload,
                reading={name: value for name in OF_A_READING if (value := getattr(given, name)) is not None},
            )
            overlays = _overlays(given)
            files = await sending.all(list(radiographs(given.path, sending.refuse)))
            status = await many.watch(client, list(files), files.__getitem__, output, overlays) if wait else 0
            return max(sending.status, status)

    return asyncio.run(run())


def watch(given: argparse.Namespace, output: Output) -> int:
    """Say how jobs end, as soon as each has."""
    overlays = _overlays(given)

    async def run() -> int:
        async with AsyncClient(given.url, given.key, patience=PATIENCE_WITH_MANY) as client:
            job_ids = given.job or [
                handle.id for state in ("queued", "running") async for handle in client.jobs(state)
            ]
            # The oldest end first.
            return await many.watch(client, sorted(set(job_ids)), Files(given.url).of, output, overlays)

    return asyncio.run(run())


def status(given: argparse.Namespace, output: Output) -> int:
    """Say where jobs stand."""
    files = Files(given.url)

    def show(handle: JobHandle) -> None:
        for file in files.of(handle.id) or (None,):
            output.job(handle.job, file)

    if not given.job:
        with Client(given.url, given.key, patience=PATIENCE) as client:
            for handle in client.jobs():
                show(handle)
    return _of_each(given, output, show)


def result(given: argparse.Namespace, output: Output) -> int:
    """Wait for results, and print them."""
    files, overlays = Files(given.url), _overlays(given)

    def show(handle: JobHandle) -> None:
        handle.result()
        names: list[str | None] = [*files.of(handle.id)] or [None]
        for file in names:
            output.job(handle.job, file)
        if overlays:
            overlays.write(handle.id, names, handle.heatmap())

    return _of_each(given, output, show)


def heatmap(given: argparse.Namespace, output: Output) -> int:
    """Wait for an overlay, and write it to a file."""
    with Client(given.url, given.key, patience=PATIENCE) as client:
        picture = client.job(given.job).heatmap()
    file = given.output or Path(f"{given.job}.png")
    file.write_bytes(picture)
    output.line(str(file), id=given.job, heatmap=str(file))
    return 0


def cancel(given: argparse.Namespace, output: Output) -> int:
    """Give jobs up."""

    def cancel_one(handle: JobHandle) -> None:
        handle.cancel()
        output.job(handle.job)

    return _of_each(given, output, cancel_one)


def consent(given: argparse.Namespace, output: Output) -> int:
    """Say of jobs whether models may learn from them."""

    def set_consent(handle: JobHandle) -> None:
        handle.set_consent(given.training_use, given.consent_reference)
        output.line(f"{handle.id}  {given.training_use}", id=handle.id, training_use=given.training_use)

    return _of_each(given, output, set_consent)


def delete(given: argparse.Namespace, output: Output) -> int:
    """Erase jobs."""
    files = Files(given.url)

    def delete_one(handle: JobHandle) -> None:
        handle.delete()
        files.drop(handle.id)
        output.line(f"{handle.id}  deleted", id=handle.id, deleted=True)

    return _of_each(given, output, delete_one)


def _overlays(given: argparse.Namespace) -> Overlays | None:
    return Overlays(given.heatmaps) if given.heatmaps else None


def _of_each(given: argparse.Namespace, output: Output, do: Callable[[JobHandle], None]) -> int:
    """Do the same with each job that is named; one that fails ends none of the others."""
    status, files = 0, Files(given.url)
    with Client(given.url, given.key, patience=PATIENCE) as client:
        for job_id in given.job:
            try:
                do(client.job(job_id))
            except OsteoError as error:
                for file in files.of(job_id) or (None,):
                    output.error(error, id=job_id, **({"file": file} if file else {}))
                status = max(status, status_of(error))
    return status
