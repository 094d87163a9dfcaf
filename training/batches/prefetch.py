"""Draws the batches of later steps on threads, while the network learns from the present one."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Drawn = TypeVar("Drawn")


def draw_ahead(draw: Callable[[int], Drawn], steps: Iterable[int], threads: int) -> Iterator[Drawn]:
    """Yield `draw(step)` of each step in order, drawn up to `threads` steps before it is asked for.

    An accelerator would otherwise wait for Pillow, which does its work outside of Python's lock.
    """
    with ThreadPoolExecutor(threads, "draw") as pool:
        coming: deque[Future[Drawn]] = deque()
        try:
            for step in steps:
                coming.append(pool.submit(draw, step))
                if len(coming) > threads:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
