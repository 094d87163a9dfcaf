"""Writes the report of `training.evaluate`: one HTML file that opens without a network."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from training.evaluation.figures import FEWEST
from training.evaluation.plots import FALSE_ALARMS, MISSED, PLOTS
from training.evaluation.selection_plot import PICTURE as SELECTION
from training.evaluation.summary import as_share
from training.run.curves import CURVES

REPORT = "report.html"
_OTHERS = {
    CURVES: "Loss and accuracy of training (in windows, on batches rich in fractures) and validation.",
    SELECTION: "The architectures compared, under one budget.",
}
_MISTAKES = {
    MISSED: "Fractured X-rays below the lower threshold, the surest mistakes first; fractures are boxed.",
    FALSE_ALARMS: "Intact X-rays above the upper threshold, the surest mistakes first.",
}


def write_report(run: Path, metrics: dict[str, Any]) -> str:
    """Write report.html to the run's folder, with mistakes; return the one without X-rays."""
    (run / REPORT).write_text(_render(run, metrics, PLOTS | _OTHERS | _MISTAKES), encoding="utf-8")
    return _render(run, metrics, PLOTS | _OTHERS)


def _render(run: Path, metrics: dict[str, Any], pictures: dict[str, str]) -> str:
    embedded = [
        (base64.b64encode((run / name).read_bytes()).decode(), caption)
        for name, caption in pictures.items()
        if (run / name).exists()
    ]
    template = templates_in(Path(__file__).parent, escape=True).get_template("report_template.html")
    return template.render(metrics=metrics, pictures=embedded, fewest=FEWEST)


def templates_in(folder: Path, escape: bool) -> Environment:
    """Make the environment of the templates in a folder; `escape` is for HTML, and not for Markdown."""
    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=escape,  # noqa: S701
    )
    environment.filters |= {"measure": as_text, "figure": as_figure, "share": as_share}
    return environment


def as_text(value: dict[str, Any], digits: int = 3) -> str:
    """Write a measure as 0.712 (0.641 to 0.783), or say that there is none."""
    if value["value"] is None:
        return "not measurable"
    if value["low"] is None:
        return f"{value['value']:.{digits}f} (no interval)"
    return f"{value['value']:.{digits}f} ({value['low']:.{digits}f} to {value['high']:.{digits}f})"


def as_figure(subgroup: dict[str, Any], name: str, digits: int = 3) -> str:
    """Write a measure of a subgroup, or that it would rest on too few X-rays."""
    return as_text(subgroup[name], digits) if name in subgroup else "too few"
