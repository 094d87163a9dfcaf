from dataclasses import replace

import numpy as np
import pytest

from model.bundle import Thresholds
from tests.training.collections_of_xrays import an_entry
from training.evaluation import intervals
from training.evaluation.figures import FEWEST, Calls, measure_subgroups, measure_whole
from training.evaluation.intervals import Measure, auc_bounds, mean_with_interval, share_bounds, with_interval
from training.evaluation.least_size import describe_base, mark_small
from training.evaluation.measures import share
from training.evaluation.sample import Sample
from training.run.errors import StepRefused


def a_sample(probabilities: np.ndarray, labels: np.ndarray, **same: object) -> Sample:
    entries = [an_entry(f"{i}.png", bool(fractured), **same) for i, fractured in enumerate(labels)]
    return Sample(entries, np.array([entry.group for entry in entries]), probabilities)


def called(sample: Sample) -> Calls:
    return Calls.of(sample.probabilities, Thresholds(low=0.3, high=0.7, region=0.5))


def every_measure(values: object) -> list[Measure]:
    if isinstance(values, dict):
        if set(values) == {"value", "low", "high", "n"}:
            return [Measure(**values)]
        values = list(values.values())
    return [one for inside in values for one in every_measure(inside)] if isinstance(values, list) else []


def test_an_interval_over_groups_is_wider_than_one_over_images():
    random = np.random.default_rng(0)
    of_group = random.random(60) < 0.5
    groups = np.repeat(np.arange(60), 10)
    marked = np.repeat(of_group, 10)
    everything = np.ones_like(marked)

    def statistic(i: np.ndarray) -> float:
        return share(marked[i], everything[i])

    def no_bounds(value: float) -> tuple[float, float]:
        raise AssertionError("the draws differ")

    grouped = with_interval(statistic, groups, no_bounds)
    single = with_interval(statistic, np.arange(600), no_bounds)
    assert grouped.value == single.value == marked.mean()
    assert grouped.low < single.low < grouped.value < single.high < grouped.high
    # Sixty coins: the textbook's 1.96 sqrt(p q / n) either side.
    expected = 1.96 * np.sqrt(grouped.value * (1 - grouped.value) / 60)
    assert grouped.high - grouped.value == pytest.approx(expected, rel=0.15)
    # What is quicker for a mean is the same.
    assert mean_with_interval(marked, groups) == grouped


def test_none_of_n_and_all_of_n_have_the_exact_interval():
    # The textbook's: 1 - 0.025 ** (1 / n) for none of n.
    assert share_bounds(0, 20) == (0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert share_bounds(1, 20) == (pytest.approx(0.025 ** (1 / 20)), 1)
    # Clopper and Pearson's own for 8 of 10.
    assert share_bounds(0.8, 10) == (pytest.approx(0.4439, abs=1e-4), pytest.approx(0.9748, abs=1e-4))


def test_images_of_one_group_count_once_at_the_edges():
    sample = a_sample(np.full(60, 0.9), np.ones(60, bool))
    tied = replace(sample, groups=np.repeat(np.arange(12), 5))
    everything = np.ones(60, bool)
    assert sample.share(everything)["low"] == pytest.approx(share_bounds(1, 60)[0])
    assert tied.share(everything)["low"] == pytest.approx(share_bounds(1, 12)[0])


@pytest.mark.parametrize(("fractured", "intact"), [(8, 40), (15, 15)])
def test_the_bound_of_a_perfect_area_holds_where_it_is_hardest(fractured: int, intact: int):
    """A share of the fractured, or of the intact, lies on the wrong side of all others: AUC = 1 - share."""
    low, high = auc_bounds(1.0, np.arange(fractured + intact) < fractured, np.arange(fractured + intact))
    assert high == 1
    random = np.random.default_rng(0)
    perfect = ~(random.random((40_000, min(fractured, intact))) < 1 - low).any(axis=1)
    # Were the true area this low, at most 2.5 % of such samples would show no mistake.
    assert perfect.mean() == pytest.approx(0.025, abs=0.004)


def test_groups_with_both_classes_make_fewer_pairs():
    labels = np.tile([True, False], 20)
    apart, together = np.arange(40), np.repeat(np.arange(20), 2)
    assert auc_bounds(1.0, labels, apart)[0] == pytest.approx(0.025 ** (1 / 20))
    assert auc_bounds(1.0, labels, together)[0] == pytest.approx(0.025 ** (1 / 10))
    assert auc_bounds(1.0, labels, np.zeros(40)) == (0, 1)


@pytest.mark.parametrize("said", ["perfect", "wrong", "constant", "one group"])
def test_no_figure_has_an_interval_without_width(said: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intervals, "ROUNDS", 30)
    labels = np.arange(80) < 30
    probabilities = {
        "perfect": np.where(labels, 0.99, 0.01),
        "wrong": np.where(labels, 0.01, 0.99),
        "constant": np.full(80, 0.5),
        "one group": np.linspace(0, 1, 80),
    }[said]
    sample = a_sample(probabilities, labels)
    if said == "one group":
        sample = replace(sample, groups=np.zeros(80))
    figures = [measure_whole(sample, called(sample)), *measure_subgroups(sample, called(sample))]
    measured = [one for one in every_measure(figures) if not np.isnan(one.value)]
    assert len(measured) > 20
    for one in measured:
        assert one.low <= one.value <= one.high
        assert one.high - one.low > 0.001, one


def test_a_subgroup_has_no_figure_that_rests_on_too_few(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(intervals, "ROUNDS", 30)
    labels = np.arange(60) < FEWEST - 1
    sample = a_sample(np.where(labels, 0.9, 0.1), labels)
    few = next(one for one in measure_subgroups(sample, called(sample)) if one["name"] == "region: hand")
    assert {"auc", "sensitivity_at_low", "sensitivity_at_high"}.isdisjoint(few)
    assert few["specificity_at_low"]["n"] == 60 - FEWEST + 1
    assert (few["n"], few["fractured"]) == (60, FEWEST - 1)
    labels = np.arange(60) < FEWEST
    sample = a_sample(np.where(labels, 0.9, 0.1), labels)
    enough = measure_subgroups(sample, called(sample))[0]
    assert {"auc", "sensitivity_at_low", "specificity_at_high"} <= set(enough)


@pytest.mark.parametrize(("images", "fractured"), [(99, 40), (120, 29), (120, 91), (6, 3)])
def test_thresholds_on_too_few_xrays_are_refused_or_marked(images: int, fractured: int):
    labels = np.arange(images) < fractured
    with pytest.raises(StepRefused, match=f"{images} X-rays, {fractured} fractured; .* --small"):
        describe_base("validation part", labels, small=False)
    marked = describe_base("validation part", labels, small=True)
    assert not marked["enough"]
    assert mark_small("1.4.0", marked) == "1.4.0+small"


def test_a_hundred_xrays_with_thirty_of_a_class_are_enough():
    enough = describe_base("validation part", np.arange(100) < 30, small=False)
    assert enough["enough"]
    assert mark_small("1.4.0", enough) == "1.4.0"
    with pytest.raises(StepRefused, match="both kinds"):
        describe_base("validation part", np.ones(200, bool), small=True)
