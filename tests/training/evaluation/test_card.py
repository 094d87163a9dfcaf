"""The card of a finished bundle is written anew from its own metrics, and says what its data are."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from model.bundle import CARD, MANIFEST, MEASURED, Bundle, read_bundle, read_metrics
from training.evaluation.card import write_card
from training.evaluation.summary import SHIPPED
from training.run.errors import StepRefused
from training.write_card import rewrite_with


@pytest.fixture
def copied(tmp_path: Path) -> Bundle:
    """A copy of the shipped bundle."""
    return read_bundle(shutil.copytree(SHIPPED, tmp_path / "bundle"))


def test_a_rewritten_bundle_differs_in_its_card_alone(copied: Bundle):
    metrics = read_metrics(copied)
    rewritten = rewrite_with(copied, metrics, copied.description)
    assert (rewritten.sha256, rewritten.description) == (copied.sha256, copied.description)
    before, after = (json.loads((folder / MANIFEST).read_text()) for folder in (SHIPPED, copied.folder))
    for manifest in (before, after):
        del manifest["files"][CARD]
    assert after == before
    card = (copied.folder / CARD).read_text()
    assert card.startswith(write_card(copied.description, metrics).split("## Licence")[0])
    assert "| AUC lost" in card.split("## Arithmetic in int8")[1].split("## Licence")[0]


def test_the_card_states_wrists_and_each_licence_that_is_stated_of_them(copied: Bundle):
    card = write_card(copied.description, read_metrics(copied))
    worth, licence = card.split("## What it is not")[0], card.split("## Licence")[1]
    assert "| wrist or forearm | " in worth
    assert "| region: wrist or forearm | " in card
    assert not re.search(r"\bunknown (?:\||\d)", card)
    for name in ("unknown at its origin", "ODC-By 1.0", "PDDL"):
        assert name in licence
    without = replace(copied.description, data="fracatlas")
    assert "PDDL" not in write_card(without, read_metrics(copied))


def test_the_card_has_a_row_for_each_source_that_the_check_was_measured_on(copied: Bundle):
    metrics = read_metrics(copied)
    row = metrics["radiograph_check"]["xrays"]
    for name in [name for name in metrics["radiograph_check"] if name.startswith("xrays of ")]:
        del metrics["radiograph_check"][name]
    assert "| those of " not in write_card(copied.description, metrics)
    metrics["radiograph_check"]["xrays of elsewhere"] = row
    assert f"| those of elsewhere | {row['refused']['n']} | " in write_card(copied.description, metrics)


def test_a_recalibrated_bundle_keeps_its_card(copied: Bundle):
    metrics = json.loads((copied.folder / MEASURED).read_text()) | {"recalibrated": {}}
    with pytest.raises(StepRefused, match="recalibrate again"):
        rewrite_with(copied, metrics, copied.description)
