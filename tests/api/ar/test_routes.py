"""`GET /v1/jobs/{id}/ar`: which file is answered, at which scale, and what it says of itself."""

import io
import json
import struct
import zipfile
from typing import Any

import pytest
import urllib3
from PIL import Image

from jobs.record.job import Job, now
from jobs.store.audit import Audit
from jobs.store.ledger_keys import image_key
from tests import pictures
from tests.api.ar.conftest import radiograph, scene, succeeded
from tests.api.conftest import Api, problem_of
from tests.api.routes.test_targets import CALIBRATED, acquired, targets_of

GLB, USDZ, ZIP = "model/gltf-binary", "model/vnd.usdz+zip", "application/zip"
PNG = pictures.encoded(pictures.gray())


def document_of(glb: bytes) -> dict[str, Any]:
    """The JSON of a GLB."""
    magic, version, length, size, kind = struct.unpack_from("<4sIII4s", glb)
    assert (magic, version, length, kind) == (b"glTF", 2, len(glb), b"JSON")
    return dict(json.loads(glb[20 : 20 + size]))


def said(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    """What a GLB says of itself."""
    return dict(document_of(answer.data)["asset"]["extras"]["osteo"])


def pictures_of(glb: bytes) -> dict[str, bytes]:
    """The PNG files in a GLB, by their names."""
    document, begin = document_of(glb), 28 + struct.unpack_from("<I", glb, 12)[0]
    views = [document["bufferViews"][image["bufferView"]] for image in document["images"]]
    return {
        image["name"]: glb[begin + view["byteOffset"] :][: view["byteLength"]]
        for image, view in zip(document["images"], views, strict=True)
    }


def unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


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


@pytest.mark.parametrize("accept", [GLB, USDZ, "model/obj"])
@pytest.mark.parametrize("image", [PNG, radiograph(PixelSpacing=["0", "nan"])], ids=["png", "damaged"])
def test_an_image_without_a_spacing_is_refused_and_never_guessed(api: Api, accept: str, image: bytes):
    problem = problem_of(scene(api, succeeded(api, image), accept))
    assert (problem["status"], problem["type"]) == (409, "/problems/scale-unknown")
    assert "assume_mm" in problem["detail"]


def test_an_assumed_spacing_is_written_into_every_file(api: Api):
    job = succeeded(api, PNG)
    facts = said(scene(api, job, query="?assume_mm=0.15"))
    assert facts["spacing_mm"] == [0.15, 0.15]
    assert (facts["spacing_plane"], facts["assumed"]) == ("assumed", True)
    assert facts["scale_uncertainty"] | {"says": ""} == {"least": None, "most": None, "says": ""}
    assert "assumed" in facts["scale_uncertainty"]["says"]
    for accept, name in ((USDZ, "scene.usda"), ("model/obj", "scene.json"), ("model/obj", "scene.obj")):
        file = unzipped(scene(api, job, accept, "?assume_mm=0.15").data)[name].decode()
        assert "The size was assumed by the request" in file


@pytest.mark.parametrize("assumed", ["0", "-1", "nan", "inf", "1e9", "", "0,15", "ten"])
def test_an_assumed_spacing_that_is_no_length_is_refused(api: Api, assumed: str):
    problem = problem_of(scene(api, succeeded(api, PNG), query=f"?assume_mm={assumed}"))
    assert (problem["status"], problem["type"]) == (400, "/problems/malformed")


def test_no_spacing_is_assumed_beside_the_images_own(api: Api, job: Job):
    problem = problem_of(scene(api, job, query="?assume_mm=0.1"))
    assert (problem["status"], problem["type"]) == (400, "/problems/malformed")


def test_a_scene_says_what_it_is_and_is_not_for_diagnosis(api: Api):
    header = {"ImagerPixelSpacing": [0.2, 0.1], "ImageLaterality": "L", "PatientOrientation": ["L", "F"]}
    job = succeeded(api, radiograph(**header))
    answer = scene(api, job)
    facts = said(answer)
    assert document_of(answer.data)["asset"]["copyright"] == "not for diagnosis"
    assert facts["job"] == job.id
    assert (facts["laterality"], facts["orientation"]) == ("L", ["L", "F"])
    assert not facts["assumed"]
    assert facts["image_sha256"] == job.image.sha256
    assert facts["model"] == {"name": "osteo-test", "version": "1", "sha256": "f" * 64}


@pytest.mark.parametrize("header", [{"ImagerPixelSpacing": [0.2, 0.1]}, CALIBRATED])
def test_a_scene_has_the_state_and_the_validity_of_its_targets(api: Api, header: dict[str, Any]):
    job = succeeded(api, radiograph(**header, **acquired()))
    targets, facts = targets_of(api, job), said(scene(api, job))
    assert targets["state"] == ("advisory" if "ViewPosition" in header else "uncalibrated")
    assert {name: facts[name] for name in ("state", "valid_until")} == {
        name: targets[name] for name in ("state", "valid_until")
    }


def test_a_scene_without_a_finding_says_so_and_has_no_regions(api: Api):
    result = {"finding": "no_fracture", "probability": 0.02, "regions": []}
    job = succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]), result)
    answer = scene(api, job)
    assert said(answer)["state"] == "no_finding"
    names = [node["name"] for node in document_of(answer.data)["nodes"]]
    assert names == ["picture", "back", "radiograph", "ticks", "label", "ruler"]


def test_the_regions_are_those_that_the_overlay_outlines(api: Api):
    low = {"box": [1, 1, 5, 5], "score": 0.1}
    found = {"box": [10, 20, 30, 40], "score": 0.8}
    result = {"finding": "fracture", "probability": 0.9, "regions": [found, low]}
    answer = scene(api, succeeded(api, radiograph(ImagerPixelSpacing=[0.2, 0.1]), result))
    regions = [n for n in document_of(answer.data)["nodes"] if n["name"].startswith("region_")]
    assert [n["extras"] for n in regions] == [{"score": 0.8, "box_px": [10, 20, 30, 40]}]


def test_the_picture_is_the_overlay_and_has_no_metadata(api: Api):
    exif = Image.Exif()
    exif[0x010E] = "Doe^Jane"
    job = succeeded(api, pictures.encoded(pictures.gray(), "JPEG", exif=exif))
    found = pictures_of(scene(api, job, query="?assume_mm=0.1").data)
    assert found["picture"] == api.request("GET", f"/v1/jobs/{job.id}/heatmap").data
    for data in found.values():
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.info, dict(picture.getexif())) == ("PNG", {}, {})
            assert max(picture.size) <= 4096


@pytest.mark.parametrize("accept", [GLB, USDZ, "model/obj"])
def test_no_name_and_no_id_of_patient_or_client_is_in_a_file(api: Api, accept: str):
    image = pictures.dicom_of_a_study(
        pictures.gray(), PatientName="Doe^Jane", ImagerPixelSpacing=[0.2, 0.1], StudyDescription="Jane"
    )
    job = succeeded(api, image, reference="visit-Jane", metadata='{"name": "Jane"}')
    data = scene(api, job, accept).data
    files = [data, *(unzipped(data).values() if data.startswith(b"PK") else ())]
    # 1.2.3.4 is the study's UID.
    for secret in (b"Jane", b"PID-4711", b"visit-", b"1.2.3.4", b"19500104", b"20260101", b"clinic"):
        assert not any(secret in file for file in files), secret


def test_a_file_that_harms_its_decoder_harms_nothing_else(api: Api, job: Job):
    key = image_key(api.ledger.read(job.id))
    whole = api.objects.get(key)
    for data, name in {pictures.bomb(): "too-many-pixels", whole[:-900]: "broken-image"}.items():
        api.objects.put(key, data)
        assert problem_of(scene(api, job))["type"] == f"/problems/{name}"
    api.objects.put(key, whole)
    assert scene(api, job).status == 200


def test_a_job_without_a_result_has_no_scene(api: Api, job: Job):
    waiting = api.ledger.read(api.submit(radiograph(ImagerPixelSpacing=[0.2, 0.2])).json()["id"])
    assert problem_of(scene(api, waiting))["type"] == "/problems/not-ready"
    assert api.request("DELETE", f"/v1/jobs/{job.id}").status == 204
    assert problem_of(scene(api, job))["status"] == 410


def test_a_scene_is_not_stored(api: Api, job: Job):
    before = {key for key in api.traces() if not key.startswith("audit/")}
    assert scene(api, job).status == 200
    assert {key for key in api.traces() if not key.startswith("audit/")} == before


def test_who_got_a_scene_is_in_the_audit_log(api: Api, job: Job):
    since = now()
    assert scene(api, job).status == 200
    audit = Audit(api.objects, api.redis)
    audit.carry_over()
    entries = [entry for entry in audit.entries(since) if entry["action"] == "getScene"]
    assert [(entry["client"], entry["subject"], entry["status"]) for entry in entries] == [
        ("clinic", job.id, 200)
    ]
