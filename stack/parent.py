"""The bond between this process and what it starts: a child ends with its parent, however that ends."""

import ctypes
import os
import signal
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> Callable[[], None]:
    """What a child runs before its program, so that the kernel sends it SIGTERM when this process ends.

    Start such children from the main thread and while there is no other: the kernel watches that thread,
    and between fork and exec a child of several threads may hang.
    """
    parent, prctl = os.getpid(), ctypes.CDLL(None).prctl

    def bind() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return bind
