"""Runs `osteo study`, `probe` and `redeliver`: several views of one bone, and calls to a receiver."""

import argparse

from osteo_client.client import Client
from osteo_client.command.exits import ENDED_WITHOUT_RESULT
from osteo_client.command.progress import Output
from osteo_client.study import Study


def study(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Submit files as one study; with `--wait` say how it ended."""
    sent = client.submit_study(
        given.file, callback_url=given.callback, reference=given.reference, priority=given.priority
    )
    if given.wait:
        sent = client.wait_for_study(sent.id)
    _say(sent, output)
    return ENDED_WITHOUT_RESULT if sent.state == "failed" else 0


def probe(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Have a test event sent to an address, or say how the call of an earlier one ended."""
    seen = client.probe(given.probe) if given.probe.startswith("probe_") else client.send_probe(given.probe)
    ended = seen.error or (f"answered {seen.status}" if seen.called else "not called yet")
    output.line(
        f"{seen.id}  {seen.callback_url}  {ended}",
        id=seen.id,
        callback_url=seen.callback_url,
        called=seen.called,
        status=seen.status,
        error=seen.error,
    )
    return 0


def redeliver(client: Client, given: argparse.Namespace, output: Output) -> int:
    """Have the callback of a job or study sent once more."""
    client.redeliver(given.id)
    output.line(f"{given.id}  redelivered", id=given.id, redelivered=True)
    return 0


def _say(sent: Study, output: Output) -> None:
    parts = [sent.id, sent.state]
    if sent.summary:
        parts.append(f"{sent.summary.finding} {sent.summary.job}")
    output.line("  ".join([*parts, *sent.jobs]), id=sent.id, study=sent.document)
