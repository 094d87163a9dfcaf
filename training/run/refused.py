"""Ends a step with a sentence instead of a traceback where whoever runs it can put things right."""

from collections.abc import Iterator
from contextlib import contextmanager

from model.errors import BundleRefused


class Refused(Exception):
    """The step cannot be taken with what it was given; the message says what to do."""


@contextmanager
def told_plainly(step: str) -> Iterator[None]:
    """End the command with exit status 1 and the message of what was refused or is missing."""
    try:
        yield
    except (Refused, BundleRefused, FileNotFoundError) as error:
        raise SystemExit(f"{step}: {error}") from None
