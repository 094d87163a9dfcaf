"""Tests what a bundle's description tells clients and operators."""

import json
from dataclasses import replace
from pathlib import Path

from model.bundle import MEASURED, Bundle, read_bundle
from model.bundle_summary import describe_bundle

SHIPPED = Path(__file__).parents[2] / "model/bundle"


def test_the_reference_of_the_shipped_bundle_is_that_of_its_test_part():
    reference = describe_bundle(read_bundle(SHIPPED))["reference"]
    measured = json.loads((SHIPPED / MEASURED).read_text())
    assert reference["n"] == sum(reference["probabilities"]) == measured["data"]["parts"]["test"]["images"]
    assert reference["probabilities"] == [one["n"] for one in measured["reliability"]]
    assert reference["indeterminate"] == measured["test"]["indeterminate"]["value"]


def test_a_tenth_without_an_x_ray_is_0_in_the_reference(bundle: Bundle, tmp_path: Path):
    measured = {
        "reliability": [{"said": 0.3, "found": 0.0, "n": 7}, {"said": 1.0, "found": 1.0, "n": 5}],
        "test": {"indeterminate": {"value": 0.25, "low": 0.1, "high": 0.4, "n": 12}},
    }
    (tmp_path / MEASURED).write_text(json.dumps(measured))
    assert describe_bundle(with_card(bundle, tmp_path))["reference"] == {
        "n": 12,
        "probabilities": [0, 0, 0, 7, 0, 0, 0, 0, 0, 5],
        "indeterminate": 0.25,
    }


def test_a_bundle_that_carries_no_measures_has_no_reference(bundle: Bundle, tmp_path: Path):
    assert describe_bundle(bundle)["reference"] is None
    (tmp_path / MEASURED).write_text("{}")
    assert describe_bundle(with_card(bundle, tmp_path))["reference"] is None


def with_card(bundle: Bundle, folder: Path) -> Bundle:
    """The bundle as if its files lay in `folder`, which has measures."""
    (folder / "MODEL_CARD.md").write_text("# A card\n")
    return replace(bundle, folder=folder, files=bundle.files | {MEASURED})
