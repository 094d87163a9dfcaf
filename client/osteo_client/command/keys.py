"""Runs `osteo keys`: shows, makes, replaces and ends the API keys of the user's client."""

import argparse

from osteo_client.client import Client
from osteo_client.command.progress import Output
from osteo_client.key import NewKey


def show(client: Client, given: argparse.Namespace, output: Output) -> None:
    """Print a line for each key."""
    known = client.keys()
    for key in known:
        used = f"used {key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never used"
        ends = [f"ends {key.ends_at:%Y-%m-%d %H:%M}"] if key.ends_at else []
        output.line("  ".join([key.id, ",".join(key.scopes), used, *ends]), **key.document)


def create(client: Client, given: argparse.Namespace, output: Output) -> None:
    """Make a key, and show it."""
    _say(client.create_key(given.scope), output)


def rotate(client: Client, given: argparse.Namespace, output: Output) -> None:
    """Make a key in another one's place, and show it."""
    _say(client.rotate_key(given.id), output)


def revoke(client: Client, given: argparse.Namespace, output: Output) -> None:
    """End a key."""
    client.revoke_key(given.id)
    output.line(f"{given.id}  revoked", id=given.id, revoked=True)


def _say(made: NewKey, output: Output) -> None:
    output.line("  ".join([made.id, ",".join(made.scopes), made.api_key]), **made.document)
