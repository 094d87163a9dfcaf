"""Ends a child process when its parent ends, in any way."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> Callable[[], None]:
    """Make the function that binds a child to this process: the kernel sends it SIGTERM when this one ends.

    A child runs it before its program. Start such children from the main thread and while there is no other:
    the kernel watches that thread, and between fork and exec a child of several threads may hang.
    """
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return bind
