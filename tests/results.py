"""A result as a worker writes it, of a DICOM image that says all that is carried."""

from datetime import timedelta

from jobs.record.job import Job, now
from tests.conftest import a_job

ACQUISITION = {
    "body_part": {"term": "FOREARM", "snomed": "14975008", "meaning": "Forearm structure"},
    "laterality": "L",
    "view": "AP",
    "orientation": ["L", "F"],
    "pixel_spacing": [0.2, 0.1],
    "spacing_plane": "detector",
}
RESULT = {
    "finding": "fracture",
    "probability": 0.93,
    "regions": [
        {"box": [10, 20, 30, 40], "score": 0.8, "box_mm": [1.0, 4.0, 3.0, 8.0]},
        {"box": [50, 60, 7, 8], "score": 0.6, "box_mm": [5.0, 12.0, 0.7, 1.6]},
    ],
    "model": {"name": "osteo-test", "version": "1.2.3", "sha256": "f" * 64},
    "image": {"sha256": "0" * 64, "width": 128, "height": 96, "format": "DICOM", **ACQUISITION},
}


def succeeded_job(result: dict | None = None, **changes: object) -> Job:
    """A job with this result."""
    moment = now()
    job = a_job(acquisition=ACQUISITION, **changes)
    return job.started("w", moment).succeeded(result or RESULT, moment + timedelta(seconds=1))
