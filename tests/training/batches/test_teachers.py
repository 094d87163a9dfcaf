"""A network that learns from a bundle and from another run, as its config names them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.bundle import CARD, CHECK, Bundle, write_bundle
from model.network import build
from model.weights import write_weights
from stack.part import ROOT
from tests.model.conftest import DESCRIPTION
from tests.training.collections_of_xrays import a_collection
from training.batches.draw import Batch
from training.batches.teachers import describe_teachers, load_teachers
from training.collect import collect
from training.data.ancestry import write_ancestry
from training.data.split import division_of
from training.evaluation.stored_scores import StoredScores
from training.network.trained import AnotherDivision, beginning_of, config_of, write_trained
from training.network.trunk import describe_beginning
from training.prepare import prepare
from training.run.config import Config, Phase, read_config, to_config
from training.run.errors import StepRefused
from training.train import train

PHASE = Phase("ResNet50V2", 32, 2, 1, 1e-3, trunk_rate=0.1, average=0.0)
CONFIG = Config("0", 1, "", "float32", 4, 0.5, 0.0, 1.0, 8.0, 0.01, 1, 2, 1, (PHASE,))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of one division, and in the first a network that learned nothing."""
    folder = tmp_path_factory.mktemp("teachers")
    collect([a_collection(folder / "wrists", 60)], folder / "teacher")
    prepare(folder / "teacher", 1)
    shutil.copytree(folder / "teacher", folder / "learner")
    teacher = folder / "teacher"
    write_trained(teacher, CONFIG, division_of(teacher), "nothing", build(32, "ResNet50V2", describe=False))
    write_ancestry(teacher, None)
    return teacher, folder / "learner"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    network = build(32, "ResNet50V2")
    about = replace(DESCRIPTION, backbone="ResNet50V2", input_size=32)
    return write_bundle(
        tmp_path_factory.mktemp("teachers") / "bundle",
        about,
        lambda path: write_weights(path, network),
        b"",
        {CHECK: "{}", CARD: "# drawn\n"},
    )


def test_a_network_learns_from_a_run_and_says_so(runs: tuple[Path, Path]):
    teacher, learner = runs
    config = replace(CONFIG, teachers=(str(teacher),), teacher_share=0.5)
    train(config, learner)
    assert config_of(learner) == config
    taught = "; taught by ResNet50V2 at 32 pixels, which began with nothing, whose mean answer is 50% of each"
    assert beginning_of(learner) == f"{describe_beginning('')}{taught} label"


def test_a_bundle_and_a_run_answer_at_the_size_of_the_learner(runs: tuple[Path, Path], bundle: Bundle):
    teacher, learner = runs
    write_ancestry(learner, bundle)
    config = replace(CONFIG, teachers=(str(bundle.folder), str(teacher)), teacher_share=1.0)
    loaded = load_teachers(config, 64, learner, division_of(learner))
    where = np.zeros((1, 4, 4, 1), np.float32)
    soft = loaded.soften(Batch(np.zeros((1, 64, 64, 1), np.float32), np.ones((1, 1), np.float32), where))
    assert soft.where.shape == where.shape
    assert 0 < float(soft.fracture[0, 0]) < 1
    assert "untrained 0.0.0 and ResNet50V2 at 32 pixels" in describe_teachers(config)


def test_a_teacher_of_another_division_or_of_other_bundles_is_refused(
    runs: tuple[Path, Path], bundle: Bundle, tmp_path: Path
):
    teacher, learner = runs
    write_ancestry(learner, None)
    own = replace(CONFIG, teachers=(str(bundle.folder),), teacher_share=0.5)
    with pytest.raises(StepRefused, match="does not begin with"):
        load_teachers(own, 32, learner, division_of(learner))
    shutil.copytree(teacher, tmp_path / "taught")
    write_ancestry(tmp_path / "taught", bundle)
    taught = replace(CONFIG, teachers=(str(tmp_path / "taught"),), teacher_share=0.5)
    with pytest.raises(StepRefused, match="does not begin with"):
        load_teachers(taught, 32, learner, division_of(learner))
    taught = replace(CONFIG, teachers=(str(teacher),), teacher_share=0.5)
    with pytest.raises(AnotherDivision):
        load_teachers(taught, 32, learner, "another division")


def test_a_teacher_is_never_bundled(runs: tuple[Path, Path], tmp_path: Path):
    lite = replace(CONFIG, phases=(replace(PHASE, backbone="EfficientNetLite0"),))
    with pytest.raises(StepRefused, match="is not served"):
        StoredScores(runs[0], lite)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"teachers": "model/bundle", "teacher_share": 0.5}, "a list of folders"),
        ({"teachers": ["model/bundle"]}, "above 0, up to 1"),
        ({"teachers": ["model/bundle"], "teacher_share": 7.0}, "above 0, up to 1"),
        ({"teacher_share": 0.5}, "above 0, up to 1"),
    ],
)
def test_a_share_without_teachers_or_beyond_its_range_is_refused(given: dict, said: str):
    with pytest.raises(ValueError, match=said):
        to_config(given)


def test_runs_without_teachers_go_on_as_before_there_were_any():
    config = read_config(ROOT / "training/configs/further.toml")
    assert config.fingerprint(0) == "a757bee1bb4fcc3c"  # pragma: allowlist secret
    assert read_config(ROOT / "training/configs/distilled.toml").teachers == ("model/bundle", "var/teacher")
