"""`GET /v1/jobs/{id}/ar`: which file is answered, at which scale, and what it says of itself."""

import json
import struct
from datetime import UTC, datetime
from typing import Any

import pytest

from jobs.record.job import Job
from tests import pictures
from tests.api.ar.conftest import radiograph, scene, succeeded
from tests.api.conftest import Api, problem_of

GLB, USDZ, ZIP = "model/gltf-binary", "model/vnd.usdz+zip", "application/zip"


def document_of(glb: bytes) -> dict[str, Any]:
    """The JSON of a GLB."""
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", glb)
    assert (magic, version, length, kind) == (b"glTF", 2, len(glb), b"JSON")
    return dict(json.loads(glb[20 : 20 + size]))


def said(glb: bytes) -> dict[str, Any]:
    """What a GLB says of itself."""
    return dict(document_of(glb)["asset"]["extras"]["osteo"])


@pytest.fixture
def job(api: Api) -> Job:
    return succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]))


@pytest.mark.parametrize(
    ("accept", "media_type", "magic"),
    [
        (None, GLB, b"glTF"),
        ("*/*", GLB, b"glTF"),
        ("model/*", GLB, b"glTF"),
        (USDZ, USDZ, b"PK\x03\x04"),
        ("model/obj", ZIP, b"PK\x03\x04"),
        (f"{ZIP}, {GLB};q=0.5", ZIP, b"PK\x03\x04"),
    ],
)
def test_the_accept_header_selects_the_file(api: Api, job: Job, accept, media_type: str, magic: bytes):
    answer = scene(api, job, accept)
    assert (answer.status, answer.headers["Content-Type"]) == (200, media_type)
    assert answer.headers["Vary"] == "Accept"
    assert answer.data.startswith(magic)


def test_another_format_is_refused_with_the_names_of_those_there_are(api: Api, job: Job):
    problem = problem_of(scene(api, job, "application/json"))
    assert (problem["status"], problem["type"]) == (406, "/problems/not-acceptable")
    assert GLB in problem["detail"]
