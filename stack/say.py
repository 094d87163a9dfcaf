"""What the stack tells the person at the terminal while it works: lines on standard error."""

import contextlib
import sys


def say(line: str) -> None:
    """Write `line` to standard error. A terminal that went away is no reason to leave children behind."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
