"""`GET /v1/jobs/{id}/pixels`: what a viewer windows itself."""

import io
import json

import numpy as np
import pytest
import urllib3
from PIL import Image

from api.intake.decode import Pictures
from api.results.overlay import heat_layer_of, overlay_of
from api.results.pixels import preview_of
from jobs.record.errors import NotStored
from jobs.record.job import Job, now
from jobs.settings import Settings
from jobs.store.ledger_keys import image_key
from model.decode_processes.coding import CODINGS
from tests import pictures
from tests.api.conftest import RESULT, Api, problem_of
from tests.conftest import a_job
from tests.pictures import WHOLE

PNG = pictures.encoded(pictures.gray())
DICOM = pictures.dicom(
    pictures.gray(),
    **{"WindowCenter": 1000, "WindowWidth": 900, "ImagerPixelSpacing": [0.2, 0.1]},
    **{"PatientOrientation": ["L", "F"], "ImageLaterality": "L"},
)
BODY = (pictures.gray().astype("<u2") * 16).tobytes()


def pixels(api: Api, job_id: str, **headers: str) -> urllib3.BaseHTTPResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.request("GET", f"/v1/jobs/{job_id}/pixels", headers=named, decode_content=False)


def submitted(api: Api, data: bytes) -> str:
    return str(api.submit(data).json()["id"])


def told(answer: urllib3.BaseHTTPResponse) -> dict:
    return dict(json.loads(answer.headers["Osteo-Pixels"]))


def test_the_pixels_of_dicom_come_with_all_that_its_header_says(api: Api):
    answer = pixels(api, submitted(api, DICOM))
    assert answer.status == 200
    assert answer.data == BODY
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert "Content-Encoding" not in answer.headers
    assert told(answer) == {
        **{"rows": 96, "columns": 128, "bits": 12, "photometric": "MONOCHROME2"},
        **{"min": int(pictures.gray().min()) * 16, "max": int(pictures.gray().max()) * 16},
        **{"window": [1000, 900], "voi": "LINEAR", "spacing_mm": [0.2, 0.1], "spacing_plane": "detector"},
        **{"orientation": "L\\F", "laterality": "L"},
    }


@pytest.mark.parametrize(
    ("attributes", "spacing", "plane"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.2]}, [0.2, 0.2], "detector"),
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, [0.15, 0.15], "patient"),
        ({"PixelSpacing": [0.15, 0.15]}, [0.15, 0.15], None),
        ({}, None, None),
    ],
)
def test_the_spacing_names_its_plane_and_none_is_guessed(api: Api, attributes: dict, spacing, plane):
    answer = told(pixels(api, submitted(api, pictures.dicom(pictures.gray(), **attributes))))
    assert (answer["spacing_mm"], answer["spacing_plane"]) == (spacing, plane)
    assert (answer["orientation"], answer["laterality"]) == (None, None)


@pytest.mark.parametrize("side", ["B", "U", ""])
def test_a_side_that_is_not_left_or_right_is_null(api: Api, side: str):
    file = pictures.dicom(pictures.gray(), ImageLaterality=side)
    assert told(pixels(api, submitted(api, file)))["laterality"] is None


@pytest.mark.parametrize(("format_", "bits"), [("PNG", 8), ("JPEG", 8), ("PNG", 16)])
def test_pixels_of_other_files_have_their_bits(api: Api, format_: str, bits: int):
    gray = pictures.gray() if bits == 8 else pictures.gray().astype(np.uint16) * 257
    file = pictures.encoded(gray, format_)
    answer = pixels(api, submitted(api, file))
    wanted = np.asarray(Image.open(io.BytesIO(file)))
    assert np.array_equal(np.frombuffer(answer.data, "<u2").reshape(gray.shape), wanted)
    assert (told(answer)["bits"], told(answer)["window"]) == (bits, None)


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate, br, zstd", CODINGS[0]),
        ("br, gzip", "gzip"),
        ("zstd;q=0, gzip", "gzip"),
        ("gzip;q=0", None),
        ("*", None),
    ],
)
def test_the_body_is_compressed_by_a_coding_that_the_client_names(
    api: Api, accepted: str, coding: str | None
):
    answer = pixels(api, submitted(api, DICOM), Accept_Encoding=accepted)
    assert answer.headers.get("Content-Encoding") == coding
    assert (WHOLE[coding](answer.data) if coding else answer.data) == BODY
    assert "Accept-Encoding" in answer.headers["Vary"]


def test_a_client_that_has_the_pixels_is_answered_304_in_any_coding(api: Api):
    job_id = submitted(api, DICOM)
    tags = {pixels(api, job_id, Accept_Encoding=coding).headers["ETag"] for coding in ("identity", *WHOLE)}
    assert len(tags) == 3
    # Nothing is read or decoded for them.
    api.objects.delete(image_key(api.ledger.read(job_id)))
    for tag in tags:
        for coding in ("identity", *WHOLE):
            answer = pixels(api, job_id, Accept_Encoding=coding, If_None_Match=tag)
            assert (answer.status, answer.data) == (304, b"")
            assert answer.headers["ETag"] in tags
    missing = pixels(api, job_id, If_None_Match='"another"')
    assert problem_of(missing)["type"] == "/problems/object-missing"


def test_a_range_is_of_the_body_without_a_coding(api: Api):
    job_id = submitted(api, DICOM)
    rows = pixels(api, job_id, Range="bytes=512-1023", Accept_Encoding="gzip")
    assert (rows.status, rows.data) == (206, BODY[512:1024])
    assert rows.headers["Content-Range"] == f"bytes 512-1023/{len(BODY)}"
    assert told(rows)["rows"] == 96
    assert "Content-Encoding" not in rows.headers
    kept = pixels(api, job_id, Range="bytes=0-1", If_Range=rows.headers["ETag"])
    assert kept.status == 206
    assert pixels(api, job_id, Range="bytes=0-1", If_Range='"old"').data == BODY


def test_a_range_outside_the_body_is_416_as_often_as_it_is_asked(api: Api):
    job_id = submitted(api, DICOM)
    for _ in range(10):
        answer = pixels(api, job_id, Range="bytes=99999999-")
        assert problem_of(answer)["status"] == 416
        assert answer.headers["Content-Range"] == f"bytes */{len(BODY)}"
    assert pixels(api, job_id).status == 200


def test_a_file_that_harms_its_decoder_harms_nothing_else(api: Api):
    job_id = submitted(api, DICOM)
    key = image_key(api.ledger.read(job_id))
    hostile = {
        pictures.bomb(): "too-many-pixels",
        PNG[:-400]: "broken-image",
        DICOM[:-900]: "broken-image",
        b"text": "unsupported-image",
    }
    for data, name in hostile.items():
        api.objects.put(key, data)
        for _ in range(3):
            assert problem_of(pixels(api, job_id))["type"] == f"/problems/{name}"
    api.objects.put(key, DICOM)
    assert pixels(api, job_id).data == BODY


def test_pixels_are_there_before_the_result_and_are_not_stored(api: Api):
    job_id = submitted(api, PNG)
    before = api.traces()
    assert pixels(api, job_id).status == 200
    assert api.traces() == before


def test_the_pixels_of_a_deleted_job_are_gone(api: Api):
    job_id = submitted(api, PNG)
    assert api.request("DELETE", f"/v1/jobs/{job_id}").status == 204
    assert problem_of(pixels(api, job_id))["status"] == 410


def test_pages_make_preview_layer_and_overlay_of_one_job():
    pictures_ = Pictures.of(Settings(signing_key="x" * 40))
    job: Job = a_job().started("w", now()).succeeded(RESULT, now(), bytes([0, 0, 200, 0]))
    try:
        assert preview_of(job, PNG, pictures_).startswith(b"\xff\xd8\xff")
        assert overlay_of(job, PNG, pictures_).startswith(b"\x89PNG")
    finally:
        pictures_.decoders.close()
    assert heat_layer_of(job).startswith(b"\x89PNG")


def test_a_job_without_a_heat_map_has_an_overlay_and_no_layer():
    pictures_ = Pictures.of(Settings(signing_key="x" * 40))
    job: Job = a_job().started("w", now()).succeeded(RESULT, now())
    try:
        assert overlay_of(job, PNG, pictures_).startswith(b"\x89PNG")
    finally:
        pictures_.decoders.close()
    with pytest.raises(NotStored):
        heat_layer_of(job)
