"""Scenes over HTTP: a radiograph is submitted, gets a result, and is asked for as a scene."""

from typing import Any

import urllib3

from jobs.record.job import Job, now
from tests import pictures
from tests.api.conftest import RESULT, Api

REGIONS = [{"box": [10, 20, 30, 40], "score": 0.8}, {"box": [90, 8, 20, 12], "score": 0.4}]
FOUND = {**RESULT, "regions": REGIONS, "operating_points": {"low": 0.3, "high": 0.6}}


def succeeded(api: Api, image: bytes, result: dict[str, Any] | None = None, **fields: str) -> Job:
    """Submit an image, and give its job a result, with what `result` says otherwise."""
    job = api.ledger.read(api.submit(image, **fields).json()["id"])
    running = api.ledger.append(job.started("w", now()))
    return api.ledger.append(running.succeeded(FOUND | (result or {}), now()))


def radiograph(**attributes: object) -> bytes:
    """A DICOM image of 96 rows and 128 columns, with these attributes."""
    return pictures.dicom(pictures.gray(), **attributes)


def scene(api: Api, job: Job, accept: str | None = None, query: str = "") -> urllib3.BaseHTTPResponse:
    """Ask for the scene of a job."""
    headers = {"Accept": accept} if accept else {}
    return api.request("GET", f"/v1/jobs/{job.id}/ar{query}", headers=headers)


def link(api: Api, job: Job, query: str = "", **kwargs: Any) -> str:
    """Return the path of a new link to the page of a job."""
    made = api.request("POST", f"/v1/jobs/{job.id}/ar/link{query}", **kwargs)
    assert made.status == 200, made.data
    return str(made.json()["url"]).removeprefix("https://osteo.example")
