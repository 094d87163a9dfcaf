"""Two views of a ball at a known place find it, and say truly how wrong they may be."""

import numpy as np
import pytest

from jobs.record.job import Job
from jobs.targets.document import targets_document
from jobs.targets.documents import Target
from jobs.targets.freshness import freshness_of
from jobs.targets.review import Review
from tests.jobs.targets.phantom import VIEWS, Shown, ball, job_of

SEEDS = 200


def target_of(job: Job, *others: Job) -> Target:
    (target,) = targets_document(job, Review(), freshness_of(job, 0, 300), others)["targets"]
    return target


def two_views(seed: int) -> tuple[Shown, Shown]:
    rng = np.random.default_rng(seed)
    place = rng.uniform(-0.03, 0.03, 3)
    front, side = (ball(rng, place, angle, orientation) for angle, orientation in VIEWS)
    return front, side


def test_a_ball_is_found_within_its_own_three_sigma_in_95_percent():
    within, distances = 0, []
    for seed in range(SEEDS):
        front, side = two_views(seed)
        target = target_of(front.job, side.job)
        if target["point_m"] is None:
            continue
        off = np.array(target["point_m"]) - front.truth_m
        covariance = np.array(target["covariance"]).reshape(6, 6)[:3, :3]
        sigmas = np.sqrt(off @ np.linalg.solve(covariance, off))
        distances.append(float(sigmas))
        within += sigmas <= 3
    assert within >= 0.95 * SEEDS
    assert np.mean(np.array(distances) > 1) > 0.2, "a covariance that is far too large says nothing"


def test_a_ball_lies_on_the_ray_of_one_view_within_its_three_sigma():
    within = 0
    for seed in range(SEEDS):
        front, _ = two_views(seed)
        target = target_of(front.job)
        assert target["point_m"] is None
        assert target["ray"] is not None
        near, far = target["ray"]["depth_m"]
        middle = np.array(target["ray"]["direction"]) * (near + far) / 2
        off = front.truth_m - middle
        covariance = np.array(target["covariance"]).reshape(6, 6)[:3, :3]
        within += np.sqrt(off @ np.linalg.solve(covariance, off)) <= 3
    assert within >= 0.95 * SEEDS


def test_two_views_name_each_other_and_their_residual():
    front, side = two_views(1)
    target, other = target_of(front.job, side.job), target_of(side.job, front.job)
    assert (target["seen_with"], other["seen_with"]) == (side.job.id, front.job.id)
    assert target["point_from"] == "two_views"
    assert target["residual_m"] == pytest.approx(other["residual_m"], abs=1e-9)
    assert 0 <= target["residual_m"] <= 0.01


@pytest.mark.parametrize(
    "wrong",
    [
        {"primary_angle_rad": 0.1},
        {"source_to_patient_m": None},
        {"primary_angle_rad": None},
        {"source_to_detector_m": None},
    ],
    ids=["too close to parallel", "no isocentre", "no angle", "no distance"],
)
def test_a_second_view_that_lacks_a_number_gives_no_point(wrong: dict):
    front, side = two_views(1)
    assert side.job.result
    other = job_of(side.job.result["regions"][0]["box"], *VIEWS[1], **wrong)
    assert target_of(front.job, other)["point_m"] is None


def test_rays_that_miss_each_other_by_over_ten_millimetres_give_no_point():
    front, side = two_views(1)
    assert side.job.result
    x, y, width, height = side.job.result["regions"][0]["box"]
    moved = job_of([x, y + 25, width, height], *VIEWS[1])
    assert target_of(front.job, moved)["point_m"] is None


def test_a_region_that_fits_two_others_gives_no_point():
    front, side = two_views(1)
    assert side.job.result
    x, y, width, height = side.job.result["regions"][0]["box"]
    side.job.result["regions"].append({"box": [x + 20, y, width, height], "score": 0.5})
    assert target_of(front.job, side.job)["point_m"] is None
    made = targets_document(side.job, Review(), freshness_of(side.job, 0, 300), [front.job])
    assert [target["point_m"] for target in made["targets"]] == [None, None]
