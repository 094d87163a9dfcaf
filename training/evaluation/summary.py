"""Summarises what a bundle is worth by region of the body, for README.md and for its model card.

`python -m training.evaluation.summary` writes the figures of README.md anew from model/bundle/metrics.json.
"""

import json
import re
from pathlib import Path
from textwrap import wrap
from typing import Any

from model.bundle import MANIFEST, MEASURED
from training.evaluation.figures import FEWEST

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SHIPPED = ROOT / "model" / "bundle"
_WIDTH = 120
_NO_BREAK = "\N{NO-BREAK SPACE}"
_PLACE = re.compile(
    r"(?<=<!-- model/bundle, by python -m training\.evaluation\.summary -->\n).*?(?=<!-- end -->)", re.DOTALL
)

UNKNOWN = "unknown"
_WRISTS = "bonedata"
"""Its X-rays are wrists and forearms, and its labels name no region."""


def name_unknown_region(metrics: dict[str, Any]) -> str:
    """Name the region UNKNOWN for a reader: wrist or forearm where all of its X-rays are of bonedata."""
    counts = {one["name"]: (one["n"], one["fractured"]) for one in metrics["subgroups"]}
    of_wrists = counts.get(f"source: {_WRISTS}")
    return "wrist or forearm" if of_wrists and of_wrists == counts.get(f"region: {UNKNOWN}") else UNKNOWN


def by_region(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """List regions, those with the most fractures first; a figure of too few X-rays is None."""
    unknown = name_unknown_region(metrics)
    rows = [
        {
            "name": unknown if one["name"] == f"region: {UNKNOWN}" else one["name"].removeprefix("region: "),
            "fractured": one["fractured"],
            "intact": one["n"] - one["fractured"],
            "sensitivity": one.get("sensitivity_at_low") if one["fractured"] >= FEWEST else None,
            "specificity": one.get("specificity_at_low") if one["n"] - one["fractured"] >= FEWEST else None,
        }
        for one in metrics["subgroups"]
        if one["name"].startswith("region: ")
    ]
    return sorted(rows, key=lambda row: -row["fractured"])


def as_share(value: dict[str, Any], digits: int = 0) -> str:
    """Write a measure as 71 % (64 % to 78 %)."""
    if value["value"] is None:
        return "an unknown share"
    one, low, high = (f"{100 * value[key]:.{digits}f} %" for key in ("value", "low", "high"))
    return f"{one} ({low} to {high})"


def worth(bundle: Path) -> str:
    """Write what README.md says of a bundle, as a paragraph of Markdown: each region before all of them."""
    about = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    metrics = json.loads((bundle / MEASURED).read_text(encoding="utf-8"))
    found, cleared = metrics["test"]["sensitivity_at_low"], metrics["test"]["specificity_at_low"]
    regions = by_region(metrics)
    measured = [
        f"{row['name']} {as_share(row['sensitivity'])} of n = {row['fractured']}"
        for row in regions
        if row["sensitivity"]
    ]
    few = [f"{row['name']} n = {row['fractured']}" for row in regions if not row["sensitivity"]]
    text = (
        f"At its lower operating point {about['name']} {about['version']} finds these shares of fractures "
        "(in brackets: 95 % intervals; X-rays that it has not learned from): "
        f"{', '.join(measured)}{'; too few: ' if few else ''}{', '.join(few)}. "
        f"Over all regions it finds {as_share(found)} of n = {found['n']} fractures and clears "
        f"{as_share(cleared)} of n = {cleared['n']} X-rays without one."
    )
    # A line does not begin with a percent sign.
    lines = wrap(text.replace(" %", _NO_BREAK + "%"), _WIDTH)
    return "".join(f"{line}\n" for line in lines).replace(_NO_BREAK, " ")


def write_readme(readme: str, bundle: Path) -> str:
    """Return the README with the bundle's figures in their place."""
    written, count = _PLACE.subn(lambda _: worth(bundle), readme)
    if count != 1:
        raise ValueError("README.md has no place for the bundle's figures")
    return written


def main() -> None:
    """Run `python -m training.evaluation.summary`."""
    README.write_text(write_readme(README.read_text(encoding="utf-8"), SHIPPED), encoding="utf-8")


if __name__ == "__main__":
    main()
