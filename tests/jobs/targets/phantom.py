"""Draws a ball at a known place, as two views of a C-arm show it whose numbers are slightly wrong."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.geometry.camera import Camera
from jobs.geometry.two_views import Placed
from jobs.geometry.uncertainty import ANGLE_RAD, DISTANCE_PART, PRINCIPAL_PART, SPACING_PART
from jobs.record.job import ImageFacts, Job, now
from tests.conftest import a_job

SIDE_PX = 256
RADIUS_M = 0.006
NOMINAL: dict[str, Any] = {
    "source_to_detector_m": 1.1,
    "source_to_patient_m": 0.75,
    "detector_spacing_m": [0.001, 0.001],
    "secondary_angle_rad": 0.0,
}
VIEWS = ((0.0, ("R", "F")), (np.pi / 2, ("A", "F")))
"""Primary angle and orientation of each view; neither picture is mirrored."""


@dataclass(frozen=True)
class Shown:
    """A ball in one view: the job that its picture became, and where the ball truly is for that view."""

    job: Job
    truth_m: np.ndarray


def ball(rng: np.random.Generator, place_m: np.ndarray, angle: float, orientation: tuple[str, str]) -> Shown:
    """Draw the ball through a tube and a detector that differ from the header within their tolerances."""

    def wrong(value: float, part: float) -> float:
        return float(value * (1 + rng.normal(0, part)))

    spacing = NOMINAL["detector_spacing_m"][0]
    camera = Camera(
        source_to_detector_m=wrong(NOMINAL["source_to_detector_m"], DISTANCE_PART),
        column_spacing_m=wrong(spacing, SPACING_PART),
        row_spacing_m=wrong(spacing, SPACING_PART),
        width_px=SIDE_PX,
        height_px=SIDE_PX,
        principal_px=(wrong(SIDE_PX / 2, 2 * PRINCIPAL_PART), wrong(SIDE_PX / 2, 2 * PRINCIPAL_PART)),
    )
    placed = Placed(
        camera,
        angle + rng.normal(0, ANGLE_RAD),
        rng.normal(0, ANGLE_RAD),
        wrong(NOMINAL["source_to_patient_m"], DISTANCE_PART),
        orientation,
    )
    truth = placed.in_source_m(place_m)
    return Shown(job_of(found_in(drawn(rng, camera, truth)), angle, orientation), truth)


def drawn(rng: np.random.Generator, camera: Camera, at_m: np.ndarray) -> np.ndarray:
    """Draw what the rays through each pixel's centre pass of the ball, with noise."""
    step = np.arange(SIDE_PX) + 0.5
    x, y = np.meshgrid(step, step)
    rays = np.stack(
        [
            (x - camera.principal_px[0]) * camera.column_spacing_m,
            (y - camera.principal_px[1]) * camera.row_spacing_m,
            np.full_like(x, camera.source_to_detector_m),
        ],
        axis=-1,
    )
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    miss = np.linalg.norm(at_m - (rays @ at_m)[..., None] * rays, axis=-1)
    passed = 2 * np.sqrt(np.clip(RADIUS_M**2 - miss**2, 0, None))
    return np.asarray(passed / RADIUS_M + rng.normal(0, 0.05, passed.shape))


def found_in(picture: np.ndarray) -> list[int]:
    """The box of what is bright: x, y, width, height in pixels, as a model's region."""
    rows, columns = np.nonzero(picture > 0.5)
    left, top = columns.min(), rows.min()
    return [int(left), int(top), int(columns.max() + 1 - left), int(rows.max() + 1 - top)]


def job_of(box: list[int], angle: float, orientation: tuple[str, str], **geometry: Any) -> Job:
    """The ended job of a picture with a region, with what its header says."""
    job = a_job(**facts_of(angle, orientation, **geometry))
    return job.started("w", now()).succeeded(result_of(box), now())


def facts_of(angle: float, orientation: tuple[str, str], **geometry: Any) -> dict[str, Any]:
    """What a job keeps of a picture and of its header."""
    numbers = NOMINAL | {"primary_angle_rad": angle, "acquired_at_s": now().timestamp()} | geometry
    return {
        "image": ImageFacts("0" * 64, SIDE_PX, SIDE_PX, "DICOM", 5),
        "acquisition": {"orientation": list(orientation), "geometry": numbers},
    }


def result_of(box: list[int]) -> dict[str, Any]:
    """What a model says of a picture with one region."""
    return {
        "finding": "fracture",
        "probability": 0.9,
        "regions": [{"box": box, "score": 0.9}],
        "model": {"name": "m", "version": "1", "sha256": "f" * 64},
    }
