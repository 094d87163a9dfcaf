"""Draws what a model said of a job from its record, when it is asked for: outlines, or the heat alone."""

import base64

from api.intake.decode import Pictures
from jobs.record.errors import NotStored
from jobs.record.job import Job
from model.heat_layer import draw_heat_layer
from model.prediction import OperatingPoints, Outlines, cells_from_bytes, outline_regions
from model.regions import ScoredRegion


def overlay_of(job: Job, image: bytes, pictures: Pictures) -> bytes:
    """Draw the overlay as PNG, without metadata. `image` is the radiograph as it was submitted.

    Raises NotStored for a job without a result, and Problem as Pictures does.
    """
    return pictures.overlay(image, outlines_of(job), job.client)


def outlines_of(job: Job) -> Outlines:
    """Return what the overlay of a job shows. Raises NotStored for a job without a result."""
    if not job.result:
        raise NotStored(job.id)
    finding, points = job.result["finding"], job.result.get("operating_points")
    regions = (ScoredRegion(tuple(region["box"]), region["score"]) for region in job.result["regions"])
    return Outlines(
        finding=finding,
        probability=job.result["probability"],
        model=f"{job.result['model']['name']} {job.result['model']['version']}",
        regions=outline_regions(regions, finding, OperatingPoints(**points) if points else None),
    )


def heat_layer_of(job: Job) -> bytes:
    """Draw where the model looked as PNG with alpha, in the size of the overlay, to be laid over the image.

    Raises NotStored for a job without a result, and for one of an old version, which has no heat map.
    """
    if not job.result or not job.heat:
        raise NotStored(job.id)
    whole = (0, 0, job.image.width, job.image.height)
    # A result of an old version, which analysed the whole picture, has no field.
    field = tuple(job.result.get("field", whole))
    return draw_heat_layer(cells_from_bytes(base64.b64decode(job.heat)), field, whole[2:])
