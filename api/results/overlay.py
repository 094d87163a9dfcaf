"""Draws the overlay of a job from its radiograph and its record, when a client asks for it."""

import base64

from api.intake.decode import Pictures
from jobs.record.errors import NotStored
from jobs.record.job import Job
from model.prediction import Prediction, cells_from_bytes
from model.regions import ScoredRegion


def overlay_of(job: Job, image: bytes, pictures: Pictures) -> bytes:
    """Draw the overlay as PNG, without metadata. `image` is the radiograph as it was submitted.

    Raises NotStored for a job of an old version, whose record has no heat map, and Problem as Pictures does.
    """
    if not job.result or not job.heat:
        raise NotStored(job.id)
    prediction = Prediction(
        finding=job.result["finding"],
        probability=job.result["probability"],
        regions=tuple(
            ScoredRegion(tuple(region["box"]), region["score"]) for region in job.result["regions"]
        ),
        cells=cells_from_bytes(base64.b64decode(job.heat)),
        # A result of an old version, which analysed the whole picture, has no field.
        field=tuple(job.result.get("field", (0, 0, job.image.width, job.image.height))),
        model=f"{job.result['model']['name']} {job.result['model']['version']}",
    )
    return pictures.overlay(image, prediction, job.client)
