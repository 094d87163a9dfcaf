"""What a result says to four digits is what the prediction says, on the same side of each operating point."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from model.bundle import Thresholds
from model.classifier import name_finding
from model.prediction import OperatingPoints, Prediction
from model.regions import ScoredRegion
from tests.conftest import a_job
from tests.worker.inference.test_analyse import PREDICTION, Analyst
from worker.inference.result import result_of

POINTS = OperatingPoints(0.05115485317257462, 0.4059655903165657)
NEAR = [point + step * 1e-5 for point in POINTS for step in range(-12, 13)]
EDGES = [0.0, 1e-9, 4e-5, 6e-5, 1 - 6e-5, 1 - 4e-5, 1 - 1e-9, 1.0]


def result(probability: float, *scores: float, points: OperatingPoints | None = POINTS) -> dict:
    prediction: Prediction = replace(
        PREDICTION,
        probability=probability,
        regions=tuple(ScoredRegion((1, 2, 3, 4), score) for score in scores),
        points=points,
    )
    return result_of(a_job(), prediction, Analyst())


@pytest.mark.parametrize("points", [POINTS, OperatingPoints(1e-5, 1 - 1e-5), OperatingPoints(0.2, 0.2)])
def test_the_numbers_of_a_result_give_its_finding(points: OperatingPoints):
    for probability in sorted([*NEAR, *EDGES, *points, *np.linspace(0, 1, 501)]):
        answer = result(probability, points=points)
        told = name_finding(answer["probability"], Thresholds(**answer["operating_points"], region=0.5))
        assert told == name_finding(probability, Thresholds(*points, region=0.5)), probability


def test_no_region_says_more_than_the_x_ray():
    shares = [1.0, 1 - 1e-9, 0.99999, 0.9999, 0.6]
    for probability in [*NEAR, *EDGES]:
        answer = result(probability, *(probability * share for share in shares))
        scores = [region["score"] for region in answer["regions"]]
        assert all(after <= before for before, after in pairwise([answer["probability"], *scores]))
        if probability < POINTS.high:
            assert max(scores) < answer["operating_points"]["high"]


@pytest.mark.parametrize("points", [POINTS, None])
def test_nothing_is_certain(points: OperatingPoints | None):
    assert (result(0.0, 0.0, points=points)["probability"], result(1.0)["probability"]) == (0.0001, 0.9999)
    assert result(1.0, 1.0, 0.0)["regions"][0]["score"] == 0.9999
