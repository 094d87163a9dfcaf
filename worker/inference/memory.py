"""Limits the memory of a worker: what it has freed goes back to the system; glibc would keep it."""

import ctypes
import time
from threading import Thread

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""M_ARENA_MAX and M_MMAP_THRESHOLD of mallopt (malloc.h)."""
ARENAS = 2
"""Heaps that all threads share. With a heap for each thread, no thread could use what another has freed."""
LARGE = 1 << 20
"""Bytes from which a block lies outside the heaps, and is returned to the system when it is freed.

By default glibc raises this limit with every larger block that is freed, and the heaps never shrink.
"""
ROUND_SECONDS = 60.0
"""Pause between two times that freed memory is returned, which takes 2 to 30 ms of one thread.

Else a heap keeps all that its fullest moment has taken, and a busy worker has ever fuller ones.
"""


def keep_heaps_small() -> None:
    """Make all threads share a few heaps without large blocks, and return what they free from now on.

    To be called before any thread starts. Does nothing without glibc.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_ARENA_MAX, ARENAS)
        mallopt(_MMAP_THRESHOLD, LARGE)
        Thread(target=_give_back_for_ever, name="heaps", daemon=True).start()


def _give_back_for_ever() -> None:
    while True:
        time.sleep(ROUND_SECONDS)
        give_back()


def give_back() -> None:
    """Return freed memory to the system: loading a model takes several times its size, for example.

    Does nothing without glibc.
    """
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None)
