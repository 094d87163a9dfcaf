"""Defines the error of a step that its operator can mend, and ends a command with its message."""

from collections.abc import Iterator
from contextlib import contextmanager

from model.errors import BundleRefused


class StepRefused(Exception):
    """A step cannot run with what it was given; the message says what to do."""


@contextmanager
def exit_with_message(step: str) -> Iterator[None]:
    """End the command with exit status 1 and a message, not a traceback, for a refusal or a missing file."""
    try:
        yield
    except (StepRefused, BundleRefused, FileNotFoundError) as error:
        raise SystemExit(f"{step}: {error}") from None
