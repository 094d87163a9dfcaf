"""Writes the card of model/bundle anew from its metrics.json: `python -m training.write_card`."""

import json
from typing import Any

from model.bundle import CARD, MEASURED, Bundle, Description, read_bundle, read_metrics
from model.engines.int8_ranges import PARITY
from training.evaluation.card import write_card
from training.evaluation.summary import SHIPPED
from training.quantisation.card import with_section
from training.run.changed_bundle import write_changed
from training.run.errors import StepRefused, exit_with_message


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
    card = write_card(description, metrics)
    written = {
        CARD: with_section(card, metrics[PARITY]) if PARITY in metrics else card,
        MEASURED: json.dumps(metrics, indent=2) + "\n",
        **(texts or {}),
    }
    return write_changed(bundle.folder, bundle, description, written)


def main() -> None:
    """Run `python -m training.write_card`."""
    with exit_with_message("write_card"):
        bundle = read_bundle(SHIPPED)
        rewrite_with(bundle, read_metrics(bundle), bundle.description)


if __name__ == "__main__":
    main()
