"""Measures what a decode process costs a submission, beside decoding its image in place."""

import time
from collections.abc import Callable
from statistics import median

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.radiographs import radiographs
from model.decode.image import decode
from model.decode_processes.pool import Decoders
from model.decode_processes.process import Bounds

ROUNDS = 100
MOST_MILLISECONDS = 3.0
CLIENT = "clinic"


def measure() -> list[BenchmarkFigure]:
    """Measure this group; each image is decoded both ways in turn, so that both see the same machine."""
    decoders = Decoders(Bounds())
    try:
        return [
            *_compared("a submission of 100 KB", decoders.facts, 100, MOST_MILLISECONDS),
            *_compared("a submission of 1 MB", decoders.facts, 1000, MOST_MILLISECONDS),
            *_compared("an analysis of 100 KB", decoders.decode, 100, None),
        ]
    finally:
        decoders.close()


def _compared(
    what: str, there: Callable[[bytes, str], object], kilobytes: int, at_most: float | None
) -> list[BenchmarkFigure]:
    images = radiographs(ROUNDS, kilobytes)
    there(images[0], CLIENT)  # starts the process
    milliseconds: tuple[list[float], list[float]] = ([], [])
    for number, image in enumerate(images):
        # Who goes first finds the caches cold.
        for way in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            there(image, CLIENT) if way else decode(image)
            milliseconds[way].append(1000 * (time.perf_counter() - began))
    here, beside = map(median, milliseconds)
    return [
        figure(f"decoding: {what}, in a process", beside, "ms", here),
        figure(f"decoding: {what}, what the process costs", beside - here, "ms", at_most=at_most),
    ]
