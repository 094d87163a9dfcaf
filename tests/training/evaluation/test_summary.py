"""README.md says the figures of metrics.json, and the card lists them by region."""

import json
import re

from model.bundle import MEASURED
from training.evaluation.figures import FEWEST
from training.evaluation.summary import README, by_region, worth, write_readme

SHIPPED = README.parent / "model" / "bundle"


def test_the_readme_has_the_figures_of_the_bundle():
    readme = README.read_text()
    assert write_readme(readme, SHIPPED) == readme, (
        "README.md says other figures than model/bundle/metrics.json. "
        "Run `python -m training.evaluation.summary`; its figures have to be:\n" + worth(SHIPPED)
    )


def test_the_readme_has_the_sensitivity_of_each_region_before_one_of_all():
    metrics = json.loads((SHIPPED / MEASURED).read_text())
    regions = {one["name"].removeprefix("region: "): one for one in metrics["subgroups"]}
    # Their labels name no region.
    regions["wrist or forearm"] = regions.pop("unknown")
    text = " ".join(README.read_text().split())
    one, every, _ = re.split(
        r"Over all regions|<!-- end -->", text[text.index("finds these shares") :], maxsplit=2
    )
    told = re.findall(r"([a-z ]+) (\d+) % \((\d+) % to (\d+) %\) of n = (\d+)", one)
    expected = [
        (name, *(str(round(100 * measure[key])) for key in ("value", "low", "high")), str(part["fractured"]))
        for name, part in regions.items()
        if part["fractured"] >= FEWEST and part["name"].startswith("region: ")
        for measure in [part["sensitivity_at_low"]]
    ]
    assert sorted((name.strip(), *rest) for name, *rest in told) == sorted(expected)
    few = [part["name"] for part in regions.values() if part["fractured"] < FEWEST]
    for name in (name.removeprefix("region: ") for name in few if name.startswith("region: ")):
        assert f"{name} n = {regions[name]['fractured']}" in one.split("too few: ")[1]
    assert f"of n = {metrics['fractured']} fractures" in every


def test_regions_are_sorted_by_fractures_and_too_few_have_no_figure():
    measured = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 12}
    rows = by_region(
        {
            "subgroups": [
                {"name": "source: x", "n": 40, "fractured": 20, "sensitivity_at_low": measured},
                {"name": "region: hip", "n": 40, "fractured": 9, "specificity_at_low": measured},
                {"name": "region: leg", "n": 17, "fractured": 12, "sensitivity_at_low": measured},
            ]
        }
    )
    assert [row["name"] for row in rows] == ["leg", "hip"]
    assert [row["sensitivity"] for row in rows] == [measured, None]
    assert [row["specificity"] for row in rows] == [None, measured]
