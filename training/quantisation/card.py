"""Writes what int8 arithmetic changes into a bundle's card, in a section of its own."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.engines.int8_ranges import GOALS, missed_goals
from training.evaluation.report import as_text
from training.evaluation.summary import as_share
from training.quantisation.parity import NEAR

_SECTION = re.compile(r"^## Arithmetic in int8\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_BEFORE = "## Licence\n"
"""The section of every card that a new one goes before."""


def with_section(card: str, figures: Mapping[str, Any]) -> str:
    """Return the card with the section of these figures: in the place of an older one, or as a new one."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        # Markdown, not HTML.
        autoescape=False,  # noqa: S701
    )
    environment.filters |= {"measure": as_text, "share": as_share, "percent": _percent}
    missed = [name.replace("_", " ") for name in missed_goals(figures)]
    section = environment.get_template("card_template.md").render(
        figures=figures, goals=GOALS, missed=missed, near=NEAR
    )
    card, count = _SECTION.subn(lambda _: section, card, count=1)
    if count:
        return card
    before, licence, after = card.rpartition(_BEFORE)
    return before + section + licence + after if licence else f"{card.rstrip()}\n\n{section}"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
