"""The overlay of a job that succeeded, drawn when it is asked for: from its radiograph and its record."""

import base64
from threading import BoundedSemaphore

from jobs.errors import NotStored
from jobs.job import Job
from model.explanation import draw_overlay
from model.image import Limits, decode
from model.prediction import Prediction, cells_from_bytes
from model.regions import Region

_AT_ONCE = BoundedSemaphore(1)
"""Drawing takes a core for a moment: readers of overlays must not hold up those who submit."""


def overlay_of(job: Job, image: bytes, limits: Limits) -> bytes:
    """The overlay as PNG, without metadata. `image` is the radiograph as it was submitted.

    Raises NotStored for a job of a version that did not keep where the model looked.
    """
    if not job.result or not job.heat:
        raise NotStored(job.id)
    prediction = Prediction(
        finding=job.result["finding"],
        probability=job.result["probability"],
        regions=tuple(Region(tuple(region["box"]), region["score"]) for region in job.result["regions"]),
        cells=cells_from_bytes(base64.b64decode(job.heat)),
        model=f"{job.result['model']['name']} {job.result['model']['version']}",
    )
    with _AT_ONCE:
        return draw_overlay(decode(image, limits), prediction)
