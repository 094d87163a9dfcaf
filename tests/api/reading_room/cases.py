"""Jobs and readings for the tests of pages, put into the stores as the service would."""

import hashlib
from io import BytesIO

import numpy as np
from PIL import Image

from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings
from jobs.reading.states import Mode
from jobs.record.job import ImageFacts, Job, now
from jobs.store.ledger import Ledger
from jobs.store.served_model import publish
from tests.conftest import a_job
from tests.results import ACQUISITION

RESULT = {
    "finding": "indeterminate",
    "probability": 0.4711,
    "regions": [{"box": [137, 241, 53, 67], "score": 0.4629}],
    "warnings": [{"type": "low-contrast", "detail": "Peculiarly little contrast."}],
    "operating_points": {"low": 0.2157, "high": 0.6493},
    "model": {"name": "osteo-peculiar", "version": "9.8.7", "sha256": "e" * 64},
    "image": {"sha256": "0" * 64, "width": 480, "height": 400, "format": "PNG"},
}
TELLING = (
    *("indeterminate", "0.47", "0.4711", "0.4629", "137", "241", "0.46", "Peculiarly", "0.2157", "0.22"),
    *("0.6493", "0.65", "osteo-peculiar", "9.8.7", "e" * 64, "low-contrast"),
)
"""Texts that only the answer has. None may reach a reader who has still to commit a finding."""
SERVED = {
    "name": "osteo-peculiar",
    "version": "9.8.7",
    "sha256": "e" * 64,
    "operating_points": [
        {"name": "low", "threshold": 0.2157, "meaning": "Below it hardly any fracture.", "sensitivity": None},
        {"name": "high", "threshold": 0.6493, "meaning": "From it mostly fractures.", "sensitivity": None},
    ],
}


def radiograph(width: int = 480, height: int = 400) -> bytes:
    """A picture with a bright bar, as PNG."""
    ramp = np.linspace(20, 90, width, dtype=np.uint8)[None, :].repeat(height, 0)
    ramp[height // 4 : height * 3 // 4, width // 3 : width // 2] = 200
    ramp[height // 2 : height // 2 + 3, width // 3 : width // 2] = 110
    file = BytesIO()
    Image.fromarray(ramp).save(file, "PNG")
    return file.getvalue()


def put_job(
    ledger: Ledger, result: dict | None = RESULT, data: bytes | None = None, **changes: object
) -> Job:
    """Store a job, with its result unless that is None."""
    publish(ledger.objects, SERVED)
    data = data or radiograph()
    with Image.open(BytesIO(data)) as image:
        facts = ImageFacts(hashlib.sha256(data).hexdigest(), *image.size, "PNG", len(data))
    job = a_job(**{"image": facts, "acquisition": ACQUISITION, "reference": "knee 17", **changes})
    ledger.accept(job, data)
    if result is None:
        return job
    heat = bytes(range(0, 256, 4)) + bytes(192)
    return ledger.append(ledger.append(job.started("w", now())).succeeded(result, now(), heat[:256]))


def put_reading(
    ledger: Ledger, job: Job, mode: Mode = Mode.BLIND, group: str = "msk", **wishes: object
) -> Reading:
    """Request a reading of a job by a group."""
    policy = ReadingPolicy((group,), mode)
    Policies(ledger.records).put(job.client, policy)
    return Readings(ledger).request(job, policy, **{"question": "Scaphoid?", **wishes})
