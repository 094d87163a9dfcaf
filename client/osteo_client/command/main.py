"""Runs `osteo`: reads the command line, runs one command, and ends with its exit status."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from osteo_client.async_client import AsyncClient
from osteo_client.client import Client, JobHandle
from osteo_client.command import events, keys
from osteo_client.command.exits import EXPLAINED, INTERRUPTED, REFUSED, status_of
from osteo_client.command.files import Files
from osteo_client.command.many import Sending, watch
from osteo_client.command.overlays import Overlays
from osteo_client.command.progress import Output, Waits
from osteo_client.command.radiographs import radiographs
from osteo_client.command.table import table
from osteo_client.command.whole import write_whole
from osteo_client.connection import settings
from osteo_client.errors import OsteoError

PATIENCE, PATIENCE_WITH_MANY = 15.0, 3600.0
"""Seconds during which a busy service is asked again. A folder may be more than a quota allows at once."""


Run = Callable[[argparse.Namespace, Output], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `osteo`."""
    parser = _parser()
    given = parser.parse_args(arguments)
    for option, variable in (("url", "OSTEO_URL"), ("key", "OSTEO_KEY")):
        if not getattr(given, option):
            parser.error(f"set {variable} in the environment, or give --{option}")
    try:
        settings(given.url, given.key)
    except ValueError as error:
        parser.error(str(error))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # A terminal may not have every letter of a file's name.
            stream.reconfigure(errors="backslashreplace")
    output = Output(given.json)
    logging.getLogger("osteo_client").addHandler(Waits())
    logging.getLogger("osteo_client").setLevel(logging.INFO)
    try:
        status = int(given.run(given, output))
        if given.csv:
            write_whole(given.csv, table(output.rows))
        return status
    except (OsteoError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            # The reader of the output has gone, and Python would complain once more at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return REFUSED
        output.error(error)
        return status_of(error)
    except KeyboardInterrupt:
        print("osteo: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED


def _submit(given: argparse.Namespace, output: Output) -> int:
    # A table and overlays tell of ends.
    wait = given.wait or given.csv or given.heatmaps

    async def run() -> int:
        async with AsyncClient(given.url, given.key, patience=PATIENCE_WITH_MANY) as client:
            sending = Sending(
                client,
                given.url,
                given.callback,
                given.priority,
                output,
                Files(given.url),
                say_jobs=not wait,
                upload=given.upload,
            )
            overlays = _overlays(given)
            files = await sending.all(list(radiographs(given.path, sending.refuse)))
            status = await watch(client, list(files), files.__getitem__, output, overlays) if wait else 0
            return max(sending.status, status)

    return asyncio.run(run())


def _watch(given: argparse.Namespace, output: Output) -> int:
    overlays = _overlays(given)

    async def run() -> int:
        async with AsyncClient(given.url, given.key, patience=PATIENCE_WITH_MANY) as client:
            job_ids = given.job or [
                handle.id for state in ("queued", "running") async for handle in client.jobs(state)
            ]
            # The oldest end first.
            return await watch(client, sorted(set(job_ids)), Files(given.url).of, output, overlays)

    return asyncio.run(run())


def _status(given: argparse.Namespace, output: Output) -> int:
    files = Files(given.url)

    def show(handle: JobHandle) -> None:
        for file in files.of(handle.id) or (None,):
            output.job(handle.job, file)

    if not given.job:
        with Client(given.url, given.key, patience=PATIENCE) as client:
            for handle in client.jobs():
                show(handle)
    return _of_each(given, output, show)


def _result(given: argparse.Namespace, output: Output) -> int:
    files, overlays = Files(given.url), _overlays(given)

    def show(handle: JobHandle) -> None:
        handle.result()
        names: list[str | None] = [*files.of(handle.id)] or [None]
        for file in names:
            output.job(handle.job, file)
        if overlays:
            overlays.write(handle.id, names, handle.heatmap())

    return _of_each(given, output, show)


def _heatmap(given: argparse.Namespace, output: Output) -> int:
    with Client(given.url, given.key, patience=PATIENCE) as client:
        picture = client.job(given.job).heatmap()
    file = given.output or Path(f"{given.job}.png")
    file.write_bytes(picture)
    output.line(str(file), id=given.job, heatmap=str(file))
    return 0


def _cancel(given: argparse.Namespace, output: Output) -> int:
    def cancel(handle: JobHandle) -> None:
        handle.cancel()
        output.job(handle.job)

    return _of_each(given, output, cancel)


def _delete(given: argparse.Namespace, output: Output) -> int:
    files = Files(given.url)

    def delete(handle: JobHandle) -> None:
        handle.delete()
        files.drop(handle.id)
        output.line(f"{handle.id}  deleted", id=handle.id, deleted=True)

    return _of_each(given, output, delete)


def _overlays(given: argparse.Namespace) -> Overlays | None:
    return Overlays(given.heatmaps) if given.heatmaps else None


def _keys(do: Callable[[Client, argparse.Namespace, Output], None]) -> Run:
    def run(given: argparse.Namespace, output: Output) -> int:
        with Client(given.url, given.key, patience=PATIENCE) as client:
            do(client, given, output)
        return 0

    return run


def _event(do: Callable[[Client, argparse.Namespace, Output], int]) -> Run:
    def run(given: argparse.Namespace, output: Output) -> int:
        with Client(given.url, given.key, patience=PATIENCE) as client:
            return do(client, given, output)

    return run


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="osteo",
        description="Submit bone X-rays, watch their analysis, and fetch the results.",
        epilog=EXPLAINED,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--url", default=os.environ.get("OSTEO_URL"), help="the service ($OSTEO_URL)")
    common.add_argument("--key", default=os.environ.get("OSTEO_KEY"), help="your API key ($OSTEO_KEY)")
    common.add_argument("--json", action="store_true", help="a line of JSON for each job, file or key")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Run, what: str, within: Any = commands) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = within.add_parser(
            name,
            help=what,
            description=what,
            parents=[common],
            epilog=EXPLAINED,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        made.set_defaults(run=run, csv=None)
        return made

    submit = command("submit", _submit, "send X-rays, and the images in whole folders; run again to go on")
    submit.add_argument("path", nargs="+", type=Path, metavar="FILE|FOLDER")
    submit.add_argument("--upload", action="store_true", help="past the API, for large images")
    submit.add_argument("--wait", action="store_true", help="until all have ended, and say how")
    submit.add_argument("--callback", metavar="URL", help="where the service reports each end to")
    submit.add_argument("--priority", choices=("stat", "routine"))
    status = command("status", _status, "where jobs stand; without a job all of yours, newest first")
    status.add_argument("job", nargs="*", metavar="JOB")
    watching = command("watch", _watch, "wait for jobs, or for all of yours that have not ended")
    watching.add_argument("job", nargs="*", metavar="JOB")
    result = command("result", _result, "what was found, waited for")
    result.add_argument("job", nargs="+", metavar="JOB")
    for made in (submit, status, watching, result):
        made.add_argument("--csv", type=Path, metavar="FILE", help="write a table, a row for each X-ray")
    for made in (submit, watching, result):
        made.add_argument("--heatmaps", type=Path, metavar="DIR", help="write the overlays there")
    heatmap = command("heatmap", _heatmap, "fetch the overlay picture, waited for")
    heatmap.add_argument("job", metavar="JOB")
    heatmap.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: JOB.png")
    command("cancel", _cancel, "give up the analysis of jobs").add_argument("job", nargs="+", metavar="JOB")
    command("delete", _delete, "erase jobs, their images and results").add_argument(
        "job", nargs="+", metavar="JOB"
    )
    study = command("study", _event(events.study), "send up to 20 X-rays of one bone as one study")
    study.add_argument("file", nargs="+", type=Path, metavar="FILE")
    study.add_argument("--wait", action="store_true", help="until all views have ended, and say how")
    study.add_argument("--callback", metavar="URL", help="where the service reports the end to")
    study.add_argument("--reference", help="your own name for it")
    study.add_argument("--priority", choices=("stat", "routine"))
    probe = command("probe", _event(events.probe), "send a test event, or see how its call ended")
    probe.add_argument("probe", metavar="URL|PROBE")
    redeliver = command("redeliver", _event(events.redeliver), "have a callback sent once more")
    redeliver.add_argument("id", metavar="JOB|STUDY")
    within = commands.add_parser("keys", help="see, make, replace and end your API keys").add_subparsers(
        required=True, metavar="COMMAND"
    )
    command("list", _keys(keys.show), "your keys: what each may, when last used (to the hour)", within)
    create = command("create", _keys(keys.create), "make a key, which is shown this once", within)
    create.add_argument(
        "--scope", action="append", choices=("submit", "read", "admin"), help="all of yours, unless given"
    )
    what = "make a key in another one's place, which ends in 24 hours"
    command("rotate", _keys(keys.rotate), what, within).add_argument("id", metavar="ID")
    command("revoke", _keys(keys.revoke), "end a key now", within).add_argument("id", metavar="ID")
    return parser
