"""Appends a run's losses and accuracies to files, a line of JSON each, and draws them as curves."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

HISTORY, VALIDATION, CURVES = "history.jsonl", "validation.jsonl", "curves.png"
_WINDOW = 25


def append_line(path: Path, **values: Any) -> None:
    """Append the values as a line of JSON, below a line that a full disk or a power cut left unfinished."""
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                file.write(b"\n")
        file.write(json.dumps(values).encode() + b"\n")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a file, each step once: the last line counts of a step that a killed run repeated."""
    if not path.exists():
        return []
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
    return list({line["at"]: line for line in lines}.values())


def draw_curves(run: Path) -> None:
    """Draw losses and accuracies of training and validation over the steps, to curves.png."""
    from matplotlib.figure import Figure

    history, validation = read_lines(run / HISTORY), read_lines(run / VALIDATION)
    figure = Figure(figsize=(10, 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        key = "fracture_loss" if name == "loss" else "accuracy"
        axes.plot(
            *_smooth([line["at"] for line in history], [line[key] for line in history]), label="training"
        )
        axes.plot(
            [line["at"] for line in validation], [line[name] for line in validation], "o-", label="validation"
        )
        if name == "accuracy":
            axes.plot(
                [line["at"] for line in validation],
                [line["auc"] for line in validation],
                "s--",
                label="validation AUC",
            )
        for line in history:
            if line["step"] == 0 and line["at"]:
                axes.axvline(line["at"], color="gray", linewidth=0.5)
        axes.set(xlabel="step", ylabel=name)
        axes.legend()
    figure.savefig(run / CURVES, dpi=110)


def _smooth(at: list[int], values: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Average over windows, as a single batch says little."""
    window = min(_WINDOW, max(1, len(values)))
    if not values:
        return np.array([]), np.array([])
    kernel = np.ones(window) / window
    return np.convolve(at, kernel, "valid"), np.convolve(values, kernel, "valid")
