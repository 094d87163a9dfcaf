"""The tests that run inside the s390x root, where `python -m tests.s390x` starts them, and nowhere else."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from model.bundle import read_bundle
from tests.s390x import facts
from tests.s390x.carried import ANSWERED, BUNDLED, FACTS, PICTURES, SMALL

CARRIED = Path(os.environ["OSTEO_CARRIED"])
ON_X86 = json.loads((CARRIED / FACTS).read_text())
FILES = facts.pictures_in(CARRIED / PICTURES)
CLOSE = {"answers": 1e-5, "answers in full": 1e-4}


def test_this_machine_is_big_endian():
    assert sys.byteorder == "big"
    assert np.array([1], np.uint16).tobytes() == b"\0\1"


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_the_one_that_x86_sees(name: str):
    assert facts.of_picture(FILES[name]) == ON_X86[name]


def test_the_weights_of_a_bundle_are_those_that_x86_wrote():
    assert facts.of_weights(read_bundle(CARRIED / SMALL)) == ON_X86["weights"]


def test_records_cursors_signatures_and_digests_are_those_of_x86():
    assert facts.of_jobs() == ON_X86["jobs"]


def test_the_files_of_a_scene_are_those_of_x86():
    assert facts.of_scenes() == ON_X86["scenes"]


def test_the_pose_of_a_marker_is_that_of_x86():
    # Another LAPACK rounds otherwise.
    assert facts.of_poses() == pytest.approx(ON_X86["poses"], abs=1e-6)


@pytest.mark.parametrize(
    ("bundle", "known"),
    [
        (CARRIED / SMALL, "answers"),
        pytest.param(
            BUNDLED,
            "answers in full",
            marks=pytest.mark.skipif("answers in full" not in ON_X86, reason="FULL=1 asks the whole network"),
        ),
    ],
    ids=["small", "full"],
)
def test_the_network_answers_what_it_answers_on_x86(bundle: Path, known: str):
    expected = ON_X86[known]
    found = facts.of_answers(read_bundle(bundle), [FILES[name] for name in ANSWERED])
    for what, values in expected.items():
        assert np.abs(np.array(found[what]) - np.array(values)).max() < CLOSE[known], what
