"""The path itself: a radiograph goes in over HTTP, and its result, overlay and callback come out."""

import hashlib
import io
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from stack.receiver import Receiver
from tests import pictures
from tests.conftest import await_that
from tests.integration.conftest import SECONDS, Stack
from tests.xrays import XRAYS, needs_xrays


def test_a_radiograph_becomes_a_result_an_overlay_and_a_signed_callback(stack: Stack, receiver: Receiver):
    image = stack.radiograph
    accepted = stack.submit(image, callback_url=receiver.url, reference="R 1", priority="stat")
    job = stack.settled(accepted["id"])
    assert (job["state"], job["delivery"], job["attempts"]) == ("succeeded", "delivered", 1)
    assert job["error"] is None
    result = job["result"]
    assert result["finding"] in ("fracture", "no_fracture", "indeterminate")
    assert 0 <= result["probability"] <= 1
    size = Image.open(io.BytesIO(image)).size
    assert (result["image"]["width"], result["image"]["height"]) == size
    assert result["image"]["sha256"] == hashlib.sha256(image).hexdigest()
    for region in result["regions"]:
        x, y, width, height = region["box"]
        assert 0 <= x < x + width <= size[0]
        assert 0 <= y < y + height <= size[1]
    served = stack.request("GET", "/v1/model").json()
    assert {name: served[name] for name in result["model"]} == result["model"]
    for point in served["operating_points"]:
        assert result["operating_points"][point["name"]] == round(point["threshold"], 4)
    assert stack.request("GET", job["links"]["result"]).json() == result
    assert stack.request("GET", job["links"]["image"]).data == image

    callback = receiver.wait_for(job["id"], SECONDS)
    assert callback.type == "job.succeeded"
    assert callback.job["result"] == result
    assert receiver.rejected == []


def test_a_study_becomes_one_summary_and_one_signed_callback(stack: Stack, receiver: Receiver):
    fields = [*[("image", ("view.png", stack.radiograph))] * 3, ("callback_url", receiver.url)]
    accepted = stack.request("POST", "/v1/studies", fields=fields)
    assert accepted.status == 202
    study = accepted.json()
    callback = receiver.wait_for(study["id"], SECONDS)
    assert callback.type == "study.succeeded"
    views = callback.job["jobs"]
    assert [view["id"] for view in views] == [view["id"] for view in study["jobs"]]
    probabilities = [view["result"]["probability"] for view in views]
    assert callback.job["summary"]["probability"] == max(probabilities)
    await_that(lambda: stack.request("GET", study["links"]["self"]).json()["delivery"] == "delivered")
    assert receiver.rejected == []


def test_a_dicom_radiograph_yields_a_report_in_its_study_and_fhir(stack: Stack):
    pixels = np.asarray(Image.open(io.BytesIO(stack.radiograph)).convert("L"))
    image = pictures.dicom_of_a_study(pixels, BodyPartExamined="FOREARM", ImagerPixelSpacing=[0.5, 0.25])
    job = stack.settled(stack.submit(image)["id"])
    assert job["state"] == "succeeded"
    for region in job["result"]["regions"]:
        x, y, width, height = region["box"]
        assert region["box_mm"] == [x / 4, y / 2, width / 4, height / 2]
    both = {"Accept": 'multipart/related; type="application/dicom"'}
    answer = stack.request("GET", job["links"]["result"], headers=both)
    assert (answer.status, answer.data.count(b"DICM")) == (200, 2)
    bundle = stack.request("GET", job["links"]["result"], headers={"Accept": "application/fhir+json"}).json()
    sites = [entry["resource"].get("bodySite", {}).get("text") for entry in bundle["entry"]]
    assert "Forearm structure" in sites


def test_the_overlay_carries_pixels_and_nothing_else(stack: Stack):
    image = pictures.dicom(pictures.gray(), PatientName="Doe^Hidden")
    job = stack.settled(stack.submit(image)["id"])
    if job["state"] == "failed":
        assert job["error"]["type"] == "not-a-radiograph"
        job = stack.settled(stack.submit()["id"])
    overlay = stack.request("GET", job["links"]["heatmap"])
    assert overlay.headers["Content-Type"] == "image/png"
    picture = Image.open(io.BytesIO(overlay.data))
    assert picture.format == "PNG"
    assert not picture.info
    assert b"Hidden" not in overlay.data


def test_a_colour_photograph_ends_failed_as_no_radiograph(stack: Stack, receiver: Receiver):
    photograph = pictures.encoded(pictures.colours(), "JPEG", quality=95)
    job = stack.settled(stack.submit(photograph, callback_url=receiver.url)["id"])
    assert (job["state"], job["error"]["type"]) == ("failed", "not-a-radiograph")
    assert len(job["error"]["detail"]) > 20
    assert receiver.wait_for(job["id"], SECONDS).type == "job.failed"
    assert stack.request("GET", f"/v1/jobs/{job['id']}/heatmap").status == 409


@needs_xrays
@pytest.mark.parametrize("count", [16, pytest.param(40, marks=pytest.mark.long)])
def test_real_xrays_from_eight_clients_all_succeed(stack: Stack, count: int):
    images = [path.read_bytes() for path in sorted(XRAYS.iterdir())[:count]]
    with ThreadPoolExecutor(8) as clients:
        jobs = list(clients.map(lambda image: stack.settled(stack.submit(image)["id"]), images))
    assert [job["state"] for job in jobs] == ["succeeded"] * count
    sent = [hashlib.sha256(image).hexdigest() for image in images]
    assert [job["result"]["image"]["sha256"] for job in jobs] == sent
    assert {job["attempts"] for job in jobs} == {1}
