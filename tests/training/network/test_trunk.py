"""What a network begins with: a bundle, of its own depth or another, and its effect on the test part."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.bundle import CARD, CHECK, MEASURED, Bundle, write_bundle
from model.network import build
from model.weights import write_weights
from stack.part import ROOT
from tests.model.conftest import DESCRIPTION
from tests.training.collections_of_xrays import an_entry
from training.data.manifest import write_manifest
from training.data.split import SPLIT, division_of
from training.network.trained import AnotherDivision, refuse_bundle_of_another_division
from training.network.trunk import begin_with, bundle_of, describe_beginning
from training.run.config import read_config
from training.run.errors import StepRefused
from training.run.test_part_openings import OPENINGS, AlreadyOpened, inherit_openings, record_opening
from training.select import read_comparison, select
from training.train import train


def a_bundle(folder: Path, metrics: dict, write: Callable[[Path], None] = Path.touch) -> Bundle:
    """A bundle that has learned from two sources; `metrics` says in which division."""
    return write_bundle(
        folder,
        replace(DESCRIPTION, data="bonedata, drawn"),
        write,
        b"",
        {CHECK: "{}", CARD: "# drawn\n", MEASURED: json.dumps(metrics)},
    )


TESTED_TWICE = {"data": {"division": "ours"}, "openings_of_the_test_part": 2}


def test_a_network_begins_with_the_weights_of_a_bundle(tmp_path: Path):
    known = build(64, "ResNet50V2")
    for name in ("conv4_block6_1_conv", "dense"):
        layer = known.get_layer(name)
        layer.set_weights([np.full_like(weight, 0.5) for weight in layer.get_weights()])
    bundle = a_bundle(tmp_path / "bundle", TESTED_TWICE, lambda path: write_weights(path, known))
    model = build(96, "ResNet101V2")
    begin_with(str(bundle.folder), model)
    # The last block of a stage stays the last.
    for name in ("conv4_block23_1_conv", "dense"):
        assert all(np.allclose(weight, 0.5, atol=0.01) for weight in model.get_layer(name).get_weights())


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path):
    assert [bundle_of(source) for source in ("", "imagenet", str(tmp_path))] == [None, None, None]


def test_a_bundle_that_may_know_the_test_part_is_refused(tmp_path: Path):
    write_manifest(tmp_path, [an_entry(source="Drawn")])
    bundle = a_bundle(tmp_path / "bundle", TESTED_TWICE)
    refuse_bundle_of_another_division(bundle, tmp_path, "ours")
    with pytest.raises(AnotherDivision, match="has learned from drawn"):
        refuse_bundle_of_another_division(bundle, tmp_path, "theirs")
    silent = a_bundle(tmp_path / "silent", {})
    with pytest.raises(AnotherDivision, match="has learned from drawn"):
        refuse_bundle_of_another_division(silent, tmp_path, "ours")
    write_manifest(tmp_path, [an_entry(source="a hospital's own")])
    refuse_bundle_of_another_division(silent, tmp_path, "theirs")


def test_a_run_that_begins_with_a_tested_bundle_has_opened_its_test_part(tmp_path: Path):
    bundle = a_bundle(tmp_path / "bundle", TESTED_TWICE)
    inherit_openings(tmp_path, "theirs", bundle)
    assert record_opening(tmp_path, "theirs", "new", again=False) == 1
    for _ in range(2):
        inherit_openings(tmp_path, "ours", bundle)
    with pytest.raises(AlreadyOpened, match="was tested"):
        record_opening(tmp_path, "ours", "new", again=False)
    assert record_opening(tmp_path, "ours", "new", again=True) == 3


def test_training_refuses_a_bundle_that_knows_before_it_reads_xrays(tmp_path: Path):
    write_manifest(tmp_path, [an_entry()])
    (tmp_path / SPLIT).write_text("image,group,part\na.png,a,train\n")
    config = read_config(ROOT / "training/configs/onward.toml")
    theirs = a_bundle(tmp_path / "theirs", TESTED_TWICE)
    with pytest.raises(AnotherDivision):
        train(replace(config, begin=str(theirs.folder)), tmp_path)
    metrics = TESTED_TWICE | {"data": {"division": division_of(tmp_path)}}
    ours = a_bundle(tmp_path / "ours", metrics)
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        train(replace(config, begin=str(ours.folder)), tmp_path)
    assert len(json.loads((tmp_path / OPENINGS).read_text())) == 2


COMPARISON = """
seconds = 1
peak_rate = 1e-3

[common]
seed = 1
begin = "{begin}"
precision = "float32"
batch_size = 4
positive_share = 0.5
label_smoothing = 0.02
where_weight = 0.5
cell_weight = 8.0
weight_decay = 0.01
threads = 2

[[candidates]]
name = "one"
backbone = "ResNet50V2"
input_size = 32
blocks = true
locate = {locate}
"""


def test_a_comparison_refuses_a_bundle_that_knows_or_does_not_fit(tmp_path: Path):
    write_manifest(tmp_path, [an_entry()])
    (tmp_path / SPLIT).write_text("image,group,part\na.png,a,train\n")
    theirs = a_bundle(tmp_path / "theirs", TESTED_TWICE).folder
    config = tmp_path / "select.toml"
    config.write_text(COMPARISON.format(begin=theirs, locate="false"))
    with pytest.raises(StepRefused, match="'one' leaves out"):
        read_comparison(config)
    config.write_text(COMPARISON.format(begin=theirs, locate="true"))
    with pytest.raises(AnotherDivision):
        select(read_comparison(config), tmp_path)
    config.write_text(COMPARISON.format(begin="", locate="false"))
    with pytest.raises(FileNotFoundError, match=r"a\.png"):
        select(read_comparison(config), tmp_path)


def test_a_card_describes_a_networks_beginning_and_the_one_before(tmp_path: Path):
    assert describe_beginning("imagenet") == "imagenet"
    assert (
        describe_beginning("var/trunk.npz") == "a backbone that was pre-trained on photographs, var/trunk.npz"
    )
    assert describe_beginning("").startswith("random weights")
    first = a_bundle(tmp_path / "first", {"config": {"begin": ""}})
    assert describe_beginning(str(first.folder)) == "untrained 0.0.0, which began with " + describe_beginning(
        ""
    )
    second = a_bundle(tmp_path / "second", {"config": {"begin": "gone"}, "began_with": "1.0, then"})
    assert describe_beginning(str(second.folder)) == "untrained 0.0.0, which began with 1.0, then"
