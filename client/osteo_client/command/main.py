"""Runs `osteo`: reads the command line, runs one command, and ends with its exit status."""

import argparse
import logging
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Any, get_args

from osteo_client.client import Client
from osteo_client.command import events, jobs, keys, readings
from osteo_client.command.batch import AT_ONCE, MOST_AT_ONCE, batch
from osteo_client.command.exits import EXPLAINED, INTERRUPTED, REFUSED, status_of
from osteo_client.command.jobs import PATIENCE
from osteo_client.command.progress import Output, Waits
from osteo_client.command.table import table
from osteo_client.command.top import top
from osteo_client.command.whole import write_whole
from osteo_client.connection import settings
from osteo_client.errors import OsteoError
from osteo_client.job import Priority
from osteo_client.reading import TrainingUse, Wish

Run = Callable[[argparse.Namespace, Output], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `osteo`."""
    parser = _parser()
    given = parser.parse_args(arguments)
    for option, variable in (("url", "OSTEO_URL"), ("key", "OSTEO_KEY")):
        if not getattr(given, option) and not (option == "key" and given.run is top):
            parser.error(f"set {variable} in the environment, or give --{option}")
    try:
        settings(given.url, given.key or "")
    except ValueError as error:
        parser.error(str(error))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # A terminal may not have every letter of a file's name.
            stream.reconfigure(errors="backslashreplace")
    output = Output(given.json, keeps_rows=bool(given.csv))
    logging.getLogger("osteo_client").addHandler(Waits())
    logging.getLogger("osteo_client").setLevel(logging.INFO)
    try:
        status = int(given.run(given, output))
        if given.csv:
            write_whole(given.csv, table(output.rows or ()))
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


def _at_once(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_AT_ONCE:
        raise argparse.ArgumentTypeError(f"give a number from 1 to {MOST_AT_ONCE}")
    return int(text)


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

    submit = command(
        "submit", jobs.submit, "send X-rays, and the images in whole folders; run again to go on"
    )
    submit.add_argument("path", nargs="+", type=Path, metavar="FILE|FOLDER")
    submit.add_argument("--upload", action="store_true", help="past the API, for large images")
    submit.add_argument("--wait", action="store_true", help="until all have ended, and say how")
    submit.add_argument("--callback", metavar="URL", help="where the service reports each end to")
    submit.add_argument("--priority", choices=get_args(Priority))
    submit.add_argument("--read", choices=get_args(Wish), help="when a person reads them, too")
    _add_wishes(submit)
    what = "whether models may learn from them and their signed readings; denied, unless given"
    submit.add_argument("--training-use", choices=get_args(TrainingUse), help=what)
    submit.add_argument("--consent-reference", metavar="TEXT", help="your own name of the consent")
    status = command("status", jobs.status, "where jobs stand; without a job all of yours, newest first")
    status.add_argument("job", nargs="*", metavar="JOB")
    watching = command("watch", jobs.watch, "wait for jobs, or for all of yours that have not ended")
    watching.add_argument("job", nargs="*", metavar="JOB")
    result = command("result", jobs.result, "what was found, waited for")
    result.add_argument("job", nargs="+", metavar="JOB")
    for made in (submit, status, watching, result):
        made.add_argument("--csv", type=Path, metavar="FILE", help="write a table, a row for each X-ray")
    for made in (submit, watching, result):
        made.add_argument("--heatmaps", type=Path, metavar="DIR", help="write the overlays there")
    heatmap = command("heatmap", jobs.heatmap, "fetch the overlay picture, waited for")
    heatmap.add_argument("job", metavar="JOB")
    heatmap.add_argument("-o", "--output", type=Path, metavar="FILE", help="default: JOB.png")
    command("cancel", jobs.cancel, "give up the analysis of jobs").add_argument(
        "job", nargs="+", metavar="JOB"
    )
    command("delete", jobs.delete, "erase jobs, their images and results").add_argument(
        "job", nargs="+", metavar="JOB"
    )
    consent = command("consent", jobs.consent, "allow or revoke that models learn from jobs")
    consent.add_argument("training_use", choices=get_args(TrainingUse))
    consent.add_argument("job", nargs="+", metavar="JOB")
    consent.add_argument("--consent-reference", metavar="TEXT", help="your own name of the consent")
    study = command("study", _event(events.study), "send up to 20 X-rays of one bone as one study")
    study.add_argument("file", nargs="+", type=Path, metavar="FILE")
    study.add_argument("--wait", action="store_true", help="until all views have ended, and say how")
    study.add_argument("--callback", metavar="URL", help="where the service reports the end to")
    study.add_argument("--reference", help="your own name for it")
    study.add_argument("--priority", choices=get_args(Priority))
    probe = command("probe", _event(events.probe), "send a test event, or see how its call ended")
    probe.add_argument("probe", metavar="URL|PROBE")
    redeliver = command("redeliver", _event(events.redeliver), "have a callback sent once more")
    redeliver.add_argument("id", metavar="JOB|STUDY")
    archive = command(
        "batch", batch, "have a whole archive analysed, after all that patients wait for; run again to go on"
    )
    archive.add_argument("source", metavar="FOLDER|s3://BUCKET/PREFIX")
    archive.add_argument("--at-once", type=_at_once, default=AT_ONCE, metavar="N", help="jobs under way")
    archive.add_argument(
        "--csv", dest="table", type=Path, metavar="FILE", help="write a table of all at the end"
    )
    _add_readings(commands, command)
    shown = command("top", top, "the state of the service, live, for its operator; needs no key")
    shown.add_argument("--once", action="store_true", help="print it once")
    shown.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS", help="default: 2")
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


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise ValueError(text)
    return seconds


def _add_readings(commands: Any, command: Callable[..., argparse.ArgumentParser]) -> None:
    within = commands.add_parser(
        "readings", help="have persons read jobs, and see what they signed"
    ).add_subparsers(required=True, metavar="COMMAND")
    listed = command("list", _event(readings.show_all), "the readings of jobs, oldest first", within)
    listed.add_argument("job", nargs="+", metavar="JOB")
    request = command("request", _event(readings.request), "have a person read the X-rays of jobs", within)
    request.add_argument("job", nargs="+", metavar="JOB")
    request.add_argument("--priority", choices=get_args(Priority), help="that of the job, unless given")
    what = "where its events go: to that of the job, unless given"
    request.add_argument("--callback", metavar="URL", help=what)
    _add_wishes(request)
    for name, run, what in (
        ("show", readings.show, "where readings stand, and their reports"),
        ("wait", readings.wait, "wait until readings are signed, and say what was found"),
        ("cancel", readings.cancel, "give readings up that are not signed"),
    ):
        command(name, _event(run), what, within).add_argument("reading", nargs="+", metavar="READING")


def _add_wishes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--due-seconds", type=int, metavar="N", help="when the reading is due")
    parser.add_argument("--question", metavar="TEXT", help="what the reader is to answer")
