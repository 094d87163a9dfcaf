"""Writes MODEL_CARD.md from what was measured, for `training.evaluate`: every figure comes from the run."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.bundle import Description
from model.network import STRIDE
from training.evaluation.figures import FEWEST
from training.evaluation.localisation import MARGIN
from training.evaluation.report import as_figure, as_text
from training.evaluation.summary import as_share, by_region

_TEMPLATE = "card_template.md"


def write_card(description: Description, metrics: dict[str, Any]) -> str:
    """Return the card's Markdown."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        # Markdown, not HTML.
        autoescape=False,  # noqa: S701
    )
    environment.filters |= {"measure": as_text, "figure": as_figure, "percent": _percent, "share": as_share}
    template = environment.get_template(_TEMPLATE)
    return template.render(
        about=description,
        metrics=metrics,
        regions=by_region(metrics),
        fewest=FEWEST,
        stride=STRIDE,
        margin=MARGIN,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
