"""Writes MODEL_CARD.md from what was measured, for `training.evaluate`: every figure comes from the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.bundle import Description
from model.network import STRIDE
from training.report import as_text

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
    environment.filters |= {"measure": as_text, "percent": _percent}
    return environment.get_template(_TEMPLATE).render(about=description, metrics=metrics, stride=STRIDE)


def _percent(share: float | None) -> str:
    return "an unknown share" if share is None else f"{100 * share:.0f} %"
