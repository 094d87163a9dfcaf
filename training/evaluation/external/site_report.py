"""Writes what `training.external` measured: a page that opens without a network, and a section of a card."""

import base64
from pathlib import Path
from typing import Any

from model.bundle import Thresholds
from training.evaluation.figures import FEWEST
from training.evaluation.plots import draw_sample
from training.evaluation.report import REPORT, templates_in
from training.evaluation.sample import Sample
from training.evaluation.summary import by_region
from training.run.atomic_file import whole_file

_PLOTS = {
    "roc.png": "ROC and precision-recall curves, with both thresholds as the bundle brings them.",
    "reliability.png": "What was said against what was found; larger dots are more X-rays.",
    "subgroups.png": "Area under the ROC curve in each subgroup that is large enough, with 95 % intervals.",
}
_COMPARED = (
    "sensitivity_at_low",
    "specificity_at_low",
    "sensitivity_at_high",
    "specificity_at_high",
    "indeterminate",
    "calibration_in_the_large",
    "calibration_slope",
    "calibration_error",
    "brier",
)
"""What a new calibration and new thresholds change."""


def write_site_report(run: Path, metrics: dict[str, Any], sample: Sample) -> str:
    """Write report.html to the run's folder, and return it; it names no file and shows no X-ray."""
    draw_sample(run, metrics, sample, Thresholds(**metrics["thresholds"]))
    pictures = [
        (base64.b64encode((run / name).read_bytes()).decode(), caption) for name, caption in _PLOTS.items()
    ]
    page = _render("site_report_template.html", escape=True, metrics=metrics, pictures=pictures)
    with whole_file(run / REPORT) as file:
        file.write(page.encode())
    return page


def write_section(recalibrated: dict[str, Any]) -> str:
    """Return what a recalibrated bundle's card says first, as Markdown."""
    return _render("site_card_template.md", escape=False, about=recalibrated)


def _render(template: str, escape: bool, **values: Any) -> str:
    templates = templates_in(Path(__file__).parent, escape)
    templates.globals |= {"fewest": FEWEST, "compared": _COMPARED, "by_region": by_region}
    return templates.get_template(template).render(**values)
