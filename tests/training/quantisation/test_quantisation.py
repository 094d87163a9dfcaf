"""Ranges with the least squared error, int8 compared with float, and the section of the card."""

from typing import Any

import numpy as np
import pytest

from model.bundle import Calibration, Thresholds
from model.engines.int8_ranges import GOALS, missed_goals
from model.letterbox import Letterbox
from model.regions import ScoredRegion
from training.batches.examples import Example
from training.data.manifest import ManifestRow
from training.evaluation.findings import ScoredPart
from training.evaluation.scores import Scores
from training.quantisation.card import with_section
from training.quantisation.parity import Answers, compare
from training.quantisation.ranges import Histogram
from training.run.errors import StepRefused

THRESHOLDS = Thresholds(low=0.2, high=0.6, region=0.9)
SIZE = 320
N = 40


def test_a_histogram_grows_with_its_values_and_loses_none():
    values = np.random.default_rng(0).exponential(1.0, 20_000).astype(np.float32)
    grown, whole = Histogram(), Histogram()
    for piece in np.array_split(np.sort(values), 7):
        grown.add(piece)
    whole.add(values)
    assert grown.largest == whole.largest == values.max()
    assert grown.best_range() == pytest.approx(whole.best_range(), rel=0.05)


def test_a_range_cuts_off_what_is_rare_and_keeps_what_is_not():
    even, lone = Histogram(), Histogram()
    even.add(np.linspace(0, 10, 10_000))
    lone.add(np.append(np.random.default_rng(0).uniform(0, 1, 100_000), 4.0))
    assert even.best_range() == 10
    assert 1 <= lone.best_range() < 4
    errors = {one: squared_error(lone_values(), one) for one in (lone.best_range(), 4.0)}
    assert errors[lone.best_range()] < errors[4.0]


def lone_values() -> np.ndarray:
    return np.append(np.random.default_rng(0).uniform(0, 1, 100_000), 4.0)


def squared_error(values: np.ndarray, largest: float) -> float:
    step = largest / 255
    return float(((values - np.clip(np.round(values / step), 0, 255) * step) ** 2).sum())


def test_values_below_zero_are_refused_and_zeros_fit_any_range():
    with pytest.raises(StepRefused, match="below zero"):
        Histogram().add(np.array([-0.1, 1.0]))
    idle = Histogram()
    idle.add(np.zeros(5))
    assert idle.best_range() == 1


def examples() -> list[Example]:
    """Of twice the square's size, so that a cell of 16 pixels is 32 of the picture."""
    made = []
    for number in range(N):
        entry = ManifestRow(
            image=f"{number}.png",
            sha256=str(number),
            fractured=number % 2 == 0,
            group=str(number),
            region="hand",
            frontal=True,
            lateral=False,
            oblique=False,
            hardware=False,
            width=2 * SIZE,
            height=2 * SIZE,
            source="drawn",
            licence="none",
            boxes=(),
            polygons=(),
        )
        place = Letterbox.of(2 * SIZE, 2 * SIZE, SIZE)
        made.append(Example(entry, str(number), np.zeros((SIZE, SIZE), np.uint8), (), (), place))
    return made


def answers(probabilities: np.ndarray, best: list[ScoredRegion | None], checked: np.ndarray) -> Answers:
    scores = Scores(probabilities, np.zeros((N, 20, 20), np.float32))
    part = ScoredPart.of(examples(), scores, Calibration(1.0, 0.0))
    findings = (probabilities >= THRESHOLDS.low).astype(int) + (probabilities >= THRESHOLDS.high)
    return Answers(part, findings, checked, best)


def box(x: int, width: int = 64) -> ScoredRegion:
    return ScoredRegion((x, 100, width, 64), 0.95)


@pytest.fixture
def figures() -> dict[str, Any]:
    """Of 40 X-rays: two findings change, one of them far from a threshold; regions and checks change, too."""
    real = np.where(np.arange(N) % 2 == 0, 0.9, 0.1)
    int8 = real.copy()
    real[1], int8[1] = 0.195, 0.205
    real[3], int8[3] = 0.15, 0.25
    there: list[ScoredRegion | None] = [box(100)] * 10 + [None] * (N - 10)
    changed = list(there)
    changed[0] = box(132)
    changed[1] = box(164)
    changed[2] = box(100, 130)
    changed[3] = None
    changed[20] = box(100)
    checked = np.full(N, 2)
    doubted = checked.copy()
    doubted[7] = 1
    return compare(THRESHOLDS, answers(int8, changed, doubted), answers(real, there, checked))


def test_changes_are_counted_as_shares_of_all_xrays(figures: dict[str, Any]):
    assert figures["findings_changed"]["value"] == 2 / N
    assert figures["findings_changed_beyond"]["value"] == 1 / N
    assert figures["largest_change_of_probability"] == pytest.approx(0.1)
    assert figures["checks_changed"]["value"] == 1 / N
    assert figures["checks_changed"]["n"] == N
    assert figures["auc_loss"]["value"] == 0


def test_a_region_moves_by_more_than_a_cell_or_is_there_in_one_alone(figures: dict[str, Any]):
    assert figures["regions_moved"]["value"] == 4 / N, "a move by one cell, 32 pixels, is none"
    assert figures["regions_moved_of_shown"] == figures["regions_moved_of_shown"] | {"value": 4 / 11, "n": 11}


def test_the_card_has_one_section_that_names_what_is_missed(figures: dict[str, Any]):
    whole = figures | {
        "ranges": {"xrays": 200},
        "measured_on": {"xrays": N, "sums_in_16_bits": True},
        "auc_loss": {"value": 0.0005, "low": -0.001, "high": 0.002, "n": N},
    }
    assert missed_goals(whole) == ["findings_changed_beyond", "regions_moved", "checks_changed"]
    card = "# model 1.0\n\n## Figures\n\nmany\n\n## Licence\n\nnone\n"
    once = with_section(card, whole)
    assert once.startswith("# model 1.0\n\n## Figures\n\nmany\n\n## Arithmetic in int8\n\n")
    assert once.endswith("\n\n## Licence\n\nnone\n")
    assert "Missed: findings changed beyond, regions moved, checks changed." in once
    assert "10.00 % (" in once
    assert with_section(once, whole) == once
    bare = with_section("# model 1.0\n", whole)
    assert with_section(bare, whole) == bare


@pytest.mark.parametrize(
    ("in_16_bits", "where"),
    [(True, "has VNNI or AMX, or AVX2."), (False, "has VNNI or AMX.")],
)
def test_the_card_names_the_processors_that_choose_int8(
    figures: dict[str, Any], in_16_bits: bool, where: str
):
    met = {name: {"value": 0.0, "low": 0.0, "high": 0.0, "n": N} for name in GOALS}
    of = {"ranges": {"xrays": 200}, "measured_on": {"xrays": N, "sums_in_16_bits": in_16_bits}}
    card = with_section("# model 1.0\n", figures | met | of)
    assert f"All goals are met: a worker chooses int8 by itself where the processor {where}" in card
    assert ("pairs of products in 16 bits" in card) == in_16_bits
