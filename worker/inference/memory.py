"""Keeps a worker small: loading a model takes several times what the model holds, and glibc keeps it all."""

import ctypes

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
"""M_ARENA_MAX and M_MMAP_THRESHOLD of mallopt (malloc.h)."""
ARENAS = 2
"""Heaps that threads share; with one for each of them, what one has freed helps no other."""
LARGE = 1 << 20
"""Bytes from which a block lies outside the heaps, and goes back to the system when it is freed. Left alone,
glibc raises this with every larger block that is freed, and the heaps keep what any moment needed most."""


def keep_heaps_small() -> None:
    """Let all threads share a few heaps, without large blocks. To be called before there are any threads.

    Does nothing without glibc.
    """
    if mallopt := _of_glibc("mallopt"):
        mallopt(_ARENA_MAX, ARENAS)
        mallopt(_MMAP_THRESHOLD, LARGE)


def give_back() -> None:
    """Give back to the system what was freed. Does nothing without glibc."""
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None)
