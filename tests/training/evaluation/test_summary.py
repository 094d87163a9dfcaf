"""README.md says the figures of metrics.json, and the card lists them by region."""

from training.evaluation.summary import README, by_region, paragraph, write_readme

SHIPPED = README.parent / "model" / "bundle"


def test_the_readme_has_the_figures_of_the_bundle():
    readme = README.read_text()
    assert write_readme(readme, SHIPPED) == readme, (
        "README.md says other figures than model/bundle/metrics.json. "
        "Run `python -m training.evaluation.summary`; the paragraph has to be:\n" + paragraph(SHIPPED)
    )


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
