"""Waits until a condition holds."""

import time
from collections.abc import Callable

SECONDS = 180.0
"""Longest wait. It costs nothing where the condition holds early, and a busy machine needs it."""


def await_that(
    condition: Callable[[], object], what: Callable[[], object] = lambda: "what was waited for did not come"
) -> None:
    """Return once the condition holds. Fails with `what` where it does not."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.02)
