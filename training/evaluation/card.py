"""Writes MODEL_CARD.md from what was measured, for `training.evaluate`: every figure comes from the run.

`python -m training.evaluation.card` writes the card of model/bundle anew from its metrics.json.
"""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from model.bundle import CARD, MEASURED, Bundle, Description, read_bundle, read_metrics
from model.engines.int8_ranges import PARITY
from model.network import STRIDE
from training.evaluation.figures import FEWEST
from training.evaluation.localisation import MARGIN
from training.evaluation.report import as_figure, as_text
from training.evaluation.summary import SHIPPED, as_share, by_region
from training.quantisation.card import with_section
from training.run.changed_bundle import write_changed
from training.run.errors import StepRefused, exit_with_message

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
    card = template.render(
        about=description,
        metrics=metrics,
        regions=by_region(metrics),
        fewest=FEWEST,
        stride=STRIDE,
        margin=MARGIN,
    )
    return with_section(card, metrics[PARITY]) if PARITY in metrics else card


def rewrite_with(
    bundle: Bundle, metrics: dict[str, Any], description: Description, texts: dict[str, str] | None = None
) -> Bundle:
    """Replace a bundle by itself with other metrics, the card of these, and other `texts`.

    StepRefused where it was recalibrated: its card begins with a place's own section.
    """
    if "recalibrated" in metrics:
        raise StepRefused(
            f"{bundle.folder} was recalibrated. Change the bundle that it came from, and recalibrate again"
        )
    written = {
        CARD: write_card(description, metrics),
        MEASURED: json.dumps(metrics, indent=2) + "\n",
        **(texts or {}),
    }
    return write_changed(bundle.folder, bundle, description, written)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def main() -> None:
    """Run `python -m training.evaluation.card`."""
    with exit_with_message("card"):
        bundle = read_bundle(SHIPPED)
        rewrite_with(bundle, read_metrics(bundle), bundle.description)


if __name__ == "__main__":
    main()
