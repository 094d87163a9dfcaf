import numpy as np
import pytest

from model.classifier import calibrate
from training.evaluation.calibration import fit_calibration
from training.evaluation.external.goodness_of_fit import in_the_large, slope
from training.evaluation.measures import (
    auc,
    auc_within,
    calibration_error,
    predictive_values,
    reliability,
)
from training.evaluation.thresholds import choose_thresholds, high_threshold, low_threshold, region_threshold


def test_auc_counts_pairs_and_halves_ties():
    scores = np.array([0.1, 0.4, 0.4, 0.8])
    labels = np.array([False, True, False, True])
    assert auc(scores, labels) == (1 + 1 + 1 + 0.5) / 4
    assert auc(-scores, labels) == pytest.approx(1 - auc(scores, labels))
    assert np.isnan(auc(scores, np.ones(4, bool)))


def test_telling_sources_apart_earns_nothing_within_them():
    sources = np.repeat(["rich", "poor"], 100)
    labels = np.concatenate([np.arange(100) < 80, np.arange(100) < 10])
    by_source = np.where(sources == "rich", 0.9, 0.1)
    assert auc(by_source, labels) > 0.8
    assert auc_within(by_source, labels, sources) == 0.5
    assert auc_within(by_source + labels, labels, sources) == 1
    assert np.isnan(auc_within(by_source, sources == "rich", sources))


def test_calibration_finds_the_distortion_that_was_put_in():
    random = np.random.default_rng(0)
    logits = random.normal(-1, 2, 40_000)
    labels = random.random(40_000) < 1 / (1 + np.exp(-logits))
    distorted = 1 / (1 + np.exp(-(3 * logits + 2)))
    found = fit_calibration(distorted, labels)
    assert found.temperature == pytest.approx(3, rel=0.05)
    assert found.bias == pytest.approx(-2 / 3, abs=0.05)
    assert calibrate(distorted, found).mean() == pytest.approx(labels.mean(), abs=1e-3)


def test_a_worthless_score_is_flattened_and_never_turned_around():
    scores = np.linspace(0.01, 0.99, 1000)
    found = fit_calibration(scores, scores < 0.5)
    assert found.temperature > 0
    assert np.ptp(calibrate(scores, found)) < 0.3


BEFORE = (
    (0, 60, 1.5, (0.8511358881687, -0.6592340022283, 0.0620503795521, 0.5378330695429)),
    (1, 600, 1.0, (1.1716779076670, -0.3306419566540, 0.1413152986450, 0.5718165085001)),
    (2, 3000, 3.0, (0.3202322666689, -2.6187114959035, 0.2054535060552, 0.3961935771613)),
)
"""Seed, X-rays and worth of scores; temperature, bias, low and high as our own Newton's method had them."""
BEFORE_AT_A_PLACE = (
    (0, 60, 1.5, (-0.6699799620884, 1.1749005228197, 0.7811217510259918)),
    (1, 600, 1.0, (-0.2678312443067, 0.8534768757321, 0.7320048372679951)),
    (2, 3000, 3.0, (-1.1739210178709, 3.1227334159737, 0.9844589469361071)),
)
"""The same; calibration in the large and slope by that method, and AUC by ranks of our own."""


def scores_and_labels(seed: int, n: int, worth: float) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.random(n) < 0.3
    logits = random.normal(-1, 1, n) + worth * labels
    return np.round(1 / (1 + np.exp(-logits)), 3).astype(np.float32), labels


@pytest.mark.parametrize(("seed", "n", "worth", "before"), BEFORE)
def test_scikit_learn_calibrates_as_our_own_regression_did(
    seed: int, n: int, worth: float, before: tuple[float, ...]
):
    scores, labels = scores_and_labels(seed, n, worth)
    found = fit_calibration(scores, labels)
    low, high = choose_thresholds(calibrate(scores, found), labels)
    assert (found.temperature, found.bias, low, high) == pytest.approx(before, abs=1e-8)


@pytest.mark.parametrize(("seed", "n", "worth", "before"), BEFORE_AT_A_PLACE)
def test_scipy_measures_the_fit_and_the_auc_as_our_own_code_did(
    seed: int, n: int, worth: float, before: tuple[float, ...]
):
    scores, labels = scores_and_labels(seed, n, worth)
    assert (in_the_large(scores, labels), slope(scores, labels)) == pytest.approx(before[:2], abs=1e-8)
    assert auc(scores, labels) == before[2]


def test_scores_that_a_threshold_separates_are_calibrated_in_order():
    labels = np.arange(100) < 40
    for spread in (0.0, 0.05):
        scores = np.where(labels, 0.9, 0.1) + spread * np.random.default_rng(0).uniform(-1, 1, 100)
        probabilities = calibrate(scores, fit_calibration(scores, labels))
        assert probabilities[~labels].max() < 0.01 < 0.99 < probabilities[labels].min()


@pytest.mark.parametrize("n", [20, 99, 1000])
def test_thresholds_keep_what_they_promise(n: int):
    random = np.random.default_rng(n)
    labels = random.random(n) < 0.3
    probabilities = np.round(random.beta(2, 5, n) + 0.2 * labels, 2)
    low, high = low_threshold(probabilities, labels), high_threshold(probabilities, labels)
    assert (probabilities[labels] >= low).mean() >= 0.95
    assert (probabilities[~labels] < high).mean() >= 0.95
    # And no tighter one does.
    above = probabilities[probabilities > low]
    assert not len(above) or (probabilities[labels] >= above.min()).mean() < 0.95


def test_the_region_threshold_is_the_best_one():
    random = np.random.default_rng(0)
    truth = random.random((20, 4, 4)) < 0.1
    cells = np.clip(random.normal(0.2, 0.1, truth.shape) + 0.3 * truth, 0, 1)

    def f1(threshold: float) -> float:
        marked = cells >= threshold
        return 2 * (marked & truth).sum() / (marked.sum() + truth.sum())

    best = region_threshold(cells, truth)
    assert f1(best) == pytest.approx(max(f1(t) for t in np.unique(cells)))


def test_predictive_values_follow_bayes():
    labels = np.repeat([True, False], [10, 40])
    called = np.concatenate([np.arange(10) < 9, np.arange(40) < 8])
    # Sensitivity 0.9, specificity 0.8: at the data's own prevalence the counts say it outright.
    ppv, npv = predictive_values(called, labels, 0.2)
    assert (ppv, npv) == (pytest.approx(9 / 17), pytest.approx(32 / 33))
    assert predictive_values(called, labels, 0.01)[0] == pytest.approx(0.009 / (0.009 + 0.2 * 0.99))


def test_the_calibration_error_is_the_distance_of_said_and_found():
    said = np.array([0.05] * 10 + [0.75] * 10)
    found = np.array([False] * 10 + [True] * 5 + [False] * 5)
    assert [(one.n, one.found) for one in reliability(said, found)] == [(10, 0.0), (10, 0.5)]
    assert calibration_error(said, found) == pytest.approx((0.05 + 0.25) / 2)
