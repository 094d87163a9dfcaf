"""Measures the service in half an hour: `python -m benchmarks [GROUP ...]`; see benchmarks/README.md.

What is measured takes its place in results.json, and in the plots beside it.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from benchmarks import (
    callbacks,
    cost,
    decoding,
    end_to_end,
    engines,
    inference_worker,
    intake,
    scale,
    side_by_side,
    sweep,
    viewer,
)
from benchmarks.figures import BenchmarkFigure, as_table, read_figures, write_figures
from benchmarks.plots import draw_plots
from model.bundle import Bundle, read_bundle

HERE = Path(__file__).parent

GROUPS: dict[str, Callable[[Bundle], list[BenchmarkFigure]]] = {
    "engines": engines.measure,
    "start": inference_worker.measure_start,
    "decoding": decoding.measure,
    "intake": lambda _: intake.measure(),
    "cost": cost.measure,
    "end_to_end": end_to_end.measure,
    "scale": lambda _: scale.measure(),
    "sweep": lambda _: sweep.measure(),
    "callbacks": lambda _: callbacks.measure(),
    "viewer": lambda _: viewer.measure(),
    "side_by_side": side_by_side.measure,
    "memory": lambda _: inference_worker.measure_memory(),
}
LONG = ("memory",)
"""Groups that are measured only where they are named."""


def main() -> int:
    """Measure, print and store the figures; 1 if one falls short of its goal."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--bundle", type=Path, default=Path("model/bundle"))
    arguments = parser.parse_args()
    unknown = set(arguments.groups) - set(GROUPS)
    if unknown:
        parser.error(f"there is no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    bundle = read_bundle(arguments.bundle)
    results = HERE / "results.json"
    groups = arguments.groups or [name for name in GROUPS if name not in LONG]
    figures: list[BenchmarkFigure] = []
    for name in tqdm(groups, "groups", unit="group"):
        found = GROUPS[name](bundle)
        tqdm.write(as_table(found), file=sys.stderr)
        write_figures(results, found)
        figures += found
    draw_plots(HERE, read_figures(results))
    short = [entry.name for entry in figures if entry.holds is False]
    print(f"{len(short)} of {len(figures)} figures fall short: {', '.join(short) or 'none'}", file=sys.stderr)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
