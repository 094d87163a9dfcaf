"""`/v1/jobs/{id}/registration` by corners: the pose, its errors, what is refused, and what is kept."""

import json
from typing import Any

import numpy as np
import pytest
import urllib3

from jobs.record.job import Job
from tests.api.ar.conftest import radiograph, succeeded
from tests.api.ar.photographs import CAMERA, Scene, drawn_scene
from tests.api.conftest import Api, problem_of

SCENE = drawn_scene(1)


@pytest.fixture
def job(api: Api) -> Job:
    return succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]))


def order(scene: Scene = SCENE, **changed: Any) -> dict[str, Any]:
    return {"marker_mm": scene.size_mm, "corners_px": scene.corners_px().tolist(), **CAMERA, **changed}


def register(api: Api, job: Job, given: Any, **kwargs: Any) -> urllib3.BaseHTTPResponse:
    headers = {"Content-Type": "application/json"}
    body = given if isinstance(given, bytes) else json.dumps(given).encode()
    return api.request("POST", f"/v1/jobs/{job.id}/registration", headers=headers, body=body, **kwargs)


def refused(answer: urllib3.BaseHTTPResponse) -> tuple[int, str]:
    problem = problem_of(answer)
    return problem["status"], problem["type"].removeprefix("/problems/")


def matrix_of(placement: dict[str, Any]) -> np.ndarray:
    return np.array(placement["camera_from_marker"])


def test_corners_give_the_pose_of_the_marker_in_metres(api: Api, job: Job):
    answer = register(api, job, order())
    assert answer.status == 200
    found = answer.json()
    matrix = matrix_of(found)
    assert np.abs(matrix[:3, 3] - SCENE.translation_m).max() < 1e-7
    assert np.abs(matrix[:3, :3] - SCENE.rotation).max() < 1e-6
    assert matrix[3].tolist() == [0, 0, 0, 1]
    assert found["reprojection_px"] < 1e-3
    assert all(0 < sigma < 0.05 for sigma in found["sigma_m"] + found["sigma_rad"])
    assert (found["job"], found["source"], found["alternative"]) == (job.id, "corners", None)
    assert (found["size_check"], found["ruler_mm"], found["camera"]) == (None, None, CAMERA)
