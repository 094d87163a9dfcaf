"""Keeps figures: what was measured, what it is compared with, and whether it reaches its goal."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class BenchmarkFigure:
    """One entry of results.json.

    `value` and `reference` are in `unit`, measured in the same run; `ratio` is value / reference. `goal` is
    what the ratio, or the value where there is no reference, has to reach; None where nothing is asked of it.
    """

    name: str
    value: float
    unit: str
    reference: float | None = None
    ratio: float | None = None
    goal: str | None = None
    holds: bool | None = None


def figure(
    name: str,
    value: float,
    unit: str,
    reference: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> BenchmarkFigure:
    """Make a figure with its ratio; its goal is judged by the unrounded numbers."""
    ratio = None if reference is None else value / reference
    # numpy's numbers compare to a bool of their own, which JSON does not know.
    judged = float(value if ratio is None else ratio)
    goal, holds = None, None
    if at_least is not None:
        goal, holds = f">= {at_least:g}", judged >= at_least
    if at_most is not None:
        goal, holds = f"<= {at_most:g}", judged <= at_most
    against, ratio = (None if number is None else _short(number) for number in (reference, ratio))
    return BenchmarkFigure(name, _short(value), unit, against, ratio, goal, holds)


def write_figures(path: Path, figures: Sequence[BenchmarkFigure]) -> None:
    """Write results.json; what it held on their topics goes: some figures are named after what won."""
    topics = {_topic(entry) for entry in figures}
    entries = [*(entry for entry in read_figures(path) if _topic(entry) not in topics), *figures]
    path.write_text(json.dumps([asdict(entry) for entry in entries], indent=2) + "\n", encoding="utf-8")


def read_figures(path: Path) -> list[BenchmarkFigure]:
    """Read results.json; an empty list where there is none."""
    if not path.exists():
        return []
    return [BenchmarkFigure(**entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def as_table(figures: Sequence[BenchmarkFigure]) -> str:
    """Format the figures as lines to read."""
    marks = {True: "holds", False: "FALLS SHORT", None: ""}
    return "\n".join(
        f"{entry.name}: {entry.value:g} {entry.unit}"
        + (f", {entry.ratio:g} x {entry.reference:g}" if entry.ratio is not None else "")
        + (f"  [{entry.goal}: {marks[entry.holds]}]" if entry.goal else "")
        for entry in figures
    )


def _topic(entry: BenchmarkFigure) -> str:
    return entry.name.partition(":")[0]


def _short(number: float) -> float:
    return float(f"{number:.4g}")
