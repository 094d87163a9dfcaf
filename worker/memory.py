"""Keeps a worker small: loading a model takes several times what the model holds, and glibc keeps it all."""

import ctypes

ARENA_MAX = -8
"""M_ARENA_MAX of mallopt (malloc.h)."""
ARENAS = 2
"""Heaps that threads share; with one for each of them, what one has freed helps no other."""


def share_heaps() -> None:
    """Let all threads share a few heaps. To be called before there are any; does nothing without glibc."""
    if mallopt := _of_glibc("mallopt"):
        mallopt(ARENA_MAX, ARENAS)


def give_back() -> None:
    """Give back to the system what was freed. Does nothing without glibc."""
    if malloc_trim := _of_glibc("malloc_trim"):
        malloc_trim(0)


def _of_glibc(name: str) -> "ctypes._NamedFuncPointer | None":
    return getattr(ctypes.CDLL(None), name, None)
