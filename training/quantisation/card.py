"""Writes what int8 arithmetic changes into a bundle's card, in a section of its own."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from model.engines.int8_ranges import GOALS, missed_goals
from training.evaluation.report import templates_in
from training.quantisation.parity import NEAR

_SECTION = re.compile(r"^## Arithmetic in int8\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)
_BEFORE = "## Licence\n"
"""The section of every card that a new one goes before."""


def with_section(card: str, figures: Mapping[str, Any]) -> str:
    """Return the card with the section of these figures: in the place of an older one, or as a new one."""
    templates = templates_in(Path(__file__).parent, escape=False)
    templates.filters["percent"] = _percent
    missed = [name.replace("_", " ") for name in missed_goals(figures)]
    template = templates.get_template("card_template.md")
    section = template.render(figures=figures, goals=GOALS, missed=missed, near=NEAR) + "\n"
    card, count = _SECTION.subn(lambda _: section, card, count=1)
    if count:
        return card
    before, licence, after = card.rpartition(_BEFORE)
    return before + section + licence + after if licence else f"{card.rstrip()}\n\n{section}"


def _percent(share: float) -> str:
    return f"{100 * share:g} %"
