"""Writes MODEL_CARD.md from what was measured, for `training.evaluate`: every figure comes from the run."""

from pathlib import Path
from typing import Any

from model.bundle import Description
from model.network import STRIDE
from training.evaluation.figures import FEWEST
from training.evaluation.localisation import MARGIN
from training.evaluation.report import templates_in
from training.evaluation.summary import UNKNOWN, by_region, name_unknown_region

_TEMPLATE = "card_template.md"


def write_card(description: Description, metrics: dict[str, Any]) -> str:
    """Return the card's Markdown."""
    templates = templates_in(Path(__file__).parent, escape=False)
    templates.filters["percent"] = _percent
    unknown = name_unknown_region(metrics)
    named = {UNKNOWN: unknown, f"region: {UNKNOWN}": f"region: {unknown}"}
    templates.filters["known"] = lambda name: named.get(name, name)
    return templates.get_template(_TEMPLATE).render(
        about=description,
        metrics=metrics,
        regions=by_region(metrics),
        fewest=FEWEST,
        stride=STRIDE,
        margin=MARGIN,
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
