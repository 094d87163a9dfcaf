"""Says what a bundle finds where: sensitivity at the low operating point by region, for card and README.

`python -m training.evaluation.summary` writes the paragraph of README.md anew from model/bundle/metrics.json;
a test holds that both agree.
"""

import json
import re
from pathlib import Path
from textwrap import wrap
from typing import Any

from model.bundle import MANIFEST, MEASURED
from training.evaluation.figures import FEWEST
from training.evaluation.report import as_text

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
_SHIPPED = ROOT / "model" / "bundle"
_WIDTH = 120
_PARAGRAPH = re.compile(
    r"(?<=<!-- model/bundle, by python -m training\.evaluation\.summary -->\n).*?(?=<!-- end -->)", re.DOTALL
)


def by_region(metrics: dict[str, Any]) -> list[dict[str, Any]]:
    """List regions, those with the most fractures first; a figure of too few X-rays is None."""
    rows = [
        {
            "name": one["name"].removeprefix("region: "),
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


def paragraph(bundle: Path) -> str:
    """Write what README.md says of a bundle, as a Markdown quote."""
    about = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    metrics = json.loads((bundle / MEASURED).read_text(encoding="utf-8"))
    test, rows = metrics["test"], by_region(metrics)
    few = ", ".join(row["name"] for row in rows if not row["sensitivity"])
    before = (
        f"The bundled model, {about['name']} {about['version']}, finds this share of the fractures at its "
        f"lower operating point, on {test['auc']['n']} X-rays from groups that it has not seen "
        "(in brackets: 95 % intervals):"
    )
    table = [
        "| region | fractures found | of |",
        "|---|---|---|",
        *(
            f"| {row['name']} | {as_share(row['sensitivity'])} | {row['fractured']} |"
            for row in rows
            if row["sensitivity"]
        ),
        f"| all | {as_share(test['sensitivity_at_low'])} | {test['sensitivity_at_low']['n']} |",
    ]
    after = (
        f"{f'Too few fractures to say: {few}. ' if few else ''}"
        f"It clears {as_share(test['specificity_at_low'])} of the {test['specificity_at_low']['n']} X-rays "
        f"without a fracture, and calls {as_share(test['indeterminate'])} of all indeterminate. "
        f"Its area under the ROC curve is {as_text(test['auc'], 2)}. On X-rays of another hospital it may "
        "be worth less: [docs/training.md](docs/training.md) says how to measure that. Its "
        "[model card](model/bundle/MODEL_CARD.md) says what it cannot do. Nothing here is a medical device."
    )
    lines = [*wrap(before, _WIDTH), "", *table, "", *wrap(after, _WIDTH)]
    return "".join(f"> {line}".rstrip() + "\n" for line in lines)


def write_readme(readme: str, bundle: Path) -> str:
    """Return the README with the bundle's paragraph in its place."""
    written, count = _PARAGRAPH.subn(lambda _: paragraph(bundle), readme)
    if count != 1:
        raise ValueError("README.md has no place for the bundle's figures")
    return written


def main() -> None:
    """Run `python -m training.evaluation.summary`."""
    README.write_text(write_readme(README.read_text(encoding="utf-8"), _SHIPPED), encoding="utf-8")


if __name__ == "__main__":
    main()
