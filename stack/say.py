"""Writes lines for the person at the terminal to standard error."""

import contextlib
import sys


def say(line: str) -> None:
    """Write `line` to standard error. A terminal that was closed must not leave children behind."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
