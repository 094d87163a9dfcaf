"""Lists what a scene says of itself: no name and no id of a patient, and none that a client chose."""

from typing import Any

from api.ar.scale import Scale
from jobs.record.job import Job
from jobs.targets.documents import TargetsDocument

_OF_MODEL = ("name", "version", "sha256", "bundle")


def facts_of(job: Job, scale: Scale, targets: TargetsDocument) -> dict[str, Any]:
    """List the facts of a succeeded job's scene, for JSON; what is not known is null."""
    acquisition, model = job.acquisition or {}, (job.result or {})["model"]
    return {
        "job": job.id,
        **scale.facts(),
        "laterality": acquisition.get("laterality"),
        "orientation": acquisition.get("orientation"),
        "state": targets["state"],
        "valid_until": targets["valid_until"],
        "image_sha256": job.image.sha256,
        "model": {name: model[name] for name in _OF_MODEL if name in model},
    }
