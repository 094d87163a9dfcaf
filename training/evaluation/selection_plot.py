"""Draws the comparison of `training.select`: the AUC of each architecture with its interval."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

PICTURE = "selection.png"


def draw_selection(run: Path, done: Sequence[dict[str, Any]], seconds: float) -> None:
    """Draw what `training.select` has measured so far of a run, after `seconds` of training each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 1.6 + 0.45 * len(done)), layout="constrained")
    axes = figure.subplots()
    for place, one in enumerate(reversed(done)):
        value = one["auc"]
        error = [[value["value"] - value["low"]], [value["high"] - value["value"]]]
        axes.errorbar(value["value"], place, xerr=error, fmt="o", capsize=4, color="tab:blue")
        axes.annotate(
            f"{one['steps']} steps, {one['images_a_second']} images/s",
            (value["value"], place + 0.15),
            ha="center",
            fontsize=7,
        )
    axes.set_yticks(range(len(done)), [one["name"] for one in reversed(done)])
    axes.set_ylim(-0.5, len(done) - 0.2)
    axes.set_xlabel(f"AUC on the validation part after {seconds:g} s of training each, with 95 % intervals")
    figure.savefig(run / PICTURE, dpi=110)
