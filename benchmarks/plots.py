"""Draws the figures: how each stands to its goal, and how throughput and cost scale."""

import re
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.figures import BenchmarkFigure


def draw_plots(folder: Path, figures: Sequence[BenchmarkFigure]) -> None:
    """Write throughput.png and queue.png into `folder`."""
    _bars(folder / "throughput.png", [entry for entry in figures if entry.unit == "radiographs/s"])
    _queue(folder / "queue.png", figures)


def _bars(path: Path, figures: Sequence[BenchmarkFigure]) -> None:
    drawing = Figure(figsize=(9, 0.3 * len(figures) + 1), layout="constrained")
    axes = drawing.subplots()
    axes.barh([entry.name for entry in figures], [entry.value for entry in figures], color="#3b6ea5")
    axes.invert_yaxis()
    axes.set_xlabel("radiographs a second")
    drawing.savefig(path, dpi=110)


def _queue(path: Path, figures: Sequence[BenchmarkFigure]) -> None:
    drawing = Figure(figsize=(6, 3.5), layout="constrained")
    axes = drawing.subplots()
    for what in ("submission", "status"):
        points = [
            (int(found[1]), entry.value)
            for entry in figures
            if (found := re.fullmatch(rf"scale: {what}, p50, (\d+) jobs waiting", entry.name))
        ]
        lengths, milliseconds = zip(*points, strict=True)
        axes.plot([f"{length:,}" for length in lengths], milliseconds, marker="o", label=what)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("jobs waiting")
    axes.set_ylabel("milliseconds, median")
    axes.legend()
    drawing.savefig(path, dpi=110)
