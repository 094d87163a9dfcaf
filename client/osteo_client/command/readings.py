"""Runs `osteo readings`: has persons read jobs, and shows what they signed."""

import argparse

from osteo_client.client import Client
from osteo_client.command.exits import ENDED_WITHOUT_RESULT
from osteo_client.command.progress import Output
from osteo_client.reading import Reading


def show_all(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Print a line for each reading of the jobs, oldest first."""
    for job_id in given.job:
        for reading in client.readings(job_id):
            _say(reading, output)
    return 0


def show(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Print readings, and the words of their reports."""
    for reading_id in given.reading:
        reading = client.reading(reading_id)
        _say(reading, output)
        if reading.report and not output.as_json:
            for text in filter(None, (reading.report.text, reading.report.advice)):
                for line in text.splitlines():
                    output.line(f"    {line}")
    return 0


def request(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Have persons read the jobs."""
    for job_id in given.job:
        requested = client.request_reading(
            job_id,
            priority=given.priority,
            due_seconds=given.due_seconds,
            question=given.question,
            callback_url=given.callback,
        )
        _say(requested, output)
    return 0


def cancel(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Cancel readings."""
    for reading_id in given.reading:
        _say(client.cancel_reading(reading_id), output)
    return 0


def wait(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Wait for readings, and say how each ended."""
    status = 0
    for reading_id in given.reading:
        reading = client.await_reading(reading_id)
        _say(reading, output)
        status = status if reading.report else ENDED_WITHOUT_RESULT
    return status


def _say(reading: Reading, output: Output) -> None:
    parts = [reading.id, reading.job, reading.state]
    if reading.report:
        parts += [reading.report.finding, *(["urgent"] if reading.report.urgent else [])]
    elif reading.returned:
        parts += [reading.returned.reason]
    elif not reading.ended:
        parts += [f"due {reading.due_at:%Y-%m-%d %H:%M}", *(["overdue"] if reading.overdue else [])]
    if reading.reader_name:
        parts.append(reading.reader_name)
    output.line("  ".join(parts), id=reading.id, reading=reading.document)
