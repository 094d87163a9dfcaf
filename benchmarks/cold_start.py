"""Measures the start of the inference worker against reading the weights and compiling alone."""

import time
from statistics import median

from tqdm import tqdm

from benchmarks.figures import BenchmarkFigure, figure
from benchmarks.service import seconds_of, stores_alone
from model.bundle import Bundle
from model.engines import choose, start
from stack.parts import inference

STARTS = 3


def measure(bundle: Bundle) -> list[BenchmarkFigure]:
    """Measure the figures of this group."""
    name = choose(None, bundle)
    start(name, bundle, lambda _: None)  # Imports what it needs, and reads the files into the page cache.
    alone, whole = [], []
    with stores_alone() as service:
        for _ in tqdm(range(STARTS), "cold starts", leave=False):
            began = time.perf_counter()
            start(name, bundle, lambda _: None)
            alone.append(time.perf_counter() - began)
            (part,) = service.parts([inference(service.settings)])
            whole.append(seconds_of(part))
            part.terminate()
            part.collect()
    return [figure("start: inference worker", median(whole), "s", median(alone), at_most=1.2)]
