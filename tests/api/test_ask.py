import io
import select
from contextlib import closing
from http.client import HTTPConnection

import numpy as np
import pytest
from PIL import Image

from api.keys import Keys
from jobs.job import Job, now
from jobs.ledger import Ledger
from jobs.view import View
from tests import pictures
from tests.api.conftest import Api, problem_of

PNG = pictures.encoded(pictures.gray())
RESULT = {
    "finding": "fracture",
    "probability": 0.9,
    "regions": [{"box": [1, 2, 3, 4], "score": 0.8}],
    "model": {"name": "osteo-test", "version": "1", "sha256": "f" * 64},
    "image": {"sha256": "0" * 64, "width": 128, "height": 96, "format": "PNG"},
}


@pytest.fixture
def ledger(api: Api, stores) -> Ledger:
    return Ledger(api.objects, View.connect(stores.redis_url, 60))


@pytest.fixture
def job(api: Api, ledger: Ledger) -> Job:
    return ledger.read(api.submit(PNG).json()["id"])


@pytest.fixture
def succeeded(job: Job, ledger: Ledger) -> Job:
    running = ledger.append(job.started("w", now()))
    return ledger.append(running.succeeded(RESULT, now(), bytes([0, 0, 200, 0])))


@pytest.mark.parametrize("what", ["result", "heatmap"])
def test_what_is_not_there_yet_says_when_to_ask_again(api: Api, job: Job, what: str):
    answer = api.request("GET", f"/v1/jobs/{job.id}/{what}")
    assert answer.status == 409
    assert answer.headers["Retry-After"]
    assert problem_of(answer)


def test_a_succeeded_job_gives_its_result_and_overlay(api: Api, succeeded: Job):
    assert api.request("GET", f"/v1/jobs/{succeeded.id}/result").json() == RESULT
    heatmap = api.request("GET", f"/v1/jobs/{succeeded.id}/heatmap")
    assert heatmap.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(heatmap.data)) as overlay:
        assert overlay.size == (128, 96)
        red, _, blue = overlay.convert("RGB").split()
        redness = np.asarray(red, int) - np.asarray(blue, int)
    assert redness[50:, :60].mean() > 3, "the lower left cell is the warm one"
    assert np.abs(redness[:40, 70:]).max() == 0


def test_an_image_that_has_gone_is_said_and_names_the_job(api: Api, succeeded: Job):
    image, *_ = api.objects.keys(f"clients/{succeeded.client}/jobs/")
    api.objects.delete(image)
    answer = api.request("GET", f"/v1/jobs/{succeeded.id}/heatmap")
    assert (answer.status, problem_of(answer)["type"]) == (500, "/problems/object-missing")


def test_a_failed_job_says_why_it_has_no_result(api: Api, job: Job, ledger: Ledger):
    running = ledger.append(job.started("w", now()))
    ledger.append(running.failed("not-a-radiograph", "It is a photograph.", now()))
    answer = api.request("GET", f"/v1/jobs/{job.id}/result")
    assert answer.status == 409
    assert problem_of(answer)["error"]["type"] == "not-a-radiograph"
    assert "Retry-After" not in answer.headers


def test_an_unchanged_job_is_answered_304(api: Api, job: Job):
    etag = api.request("GET", f"/v1/jobs/{job.id}").headers["ETag"]
    assert not etag.startswith("W/")
    assert api.request("GET", f"/v1/jobs/{job.id}", headers={"If-None-Match": etag}).status == 304


def test_a_job_is_answered_for_after_redis_was_wiped(api: Api, job: Job):
    api.redis.flushall()
    assert api.request("GET", f"/v1/jobs/{job.id}").json()["state"] == "queued"


@pytest.mark.parametrize("path", ["", "/result", "/heatmap", "/image"])
def test_another_clients_job_does_not_exist(api: Api, job: Job, path: str):
    other = Keys(api.objects).create("another")
    answer = api.request("GET", f"/v1/jobs/{job.id}{path}", key=other)
    assert answer.status == 404
    assert problem_of(answer)


@pytest.mark.parametrize("job_id", ["job_x", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV", "..%2Fkeys"])
def test_an_unknown_job_is_404(api: Api, job_id: str):
    answer = api.request("GET", f"/v1/jobs/{job_id}")
    assert answer.status == 404
    assert problem_of(answer)


def test_a_clients_jobs_are_listed_page_by_page(api: Api, ledger: Ledger):
    lister = Keys(api.objects).create("lister")
    ids = [
        api.request("POST", "/v1/jobs", key=lister, fields={"image": ("x.png", PNG)}).json()["id"]
        for _ in range(5)
    ]
    ledger.append(ledger.read(ids[0]).started("w", now()))
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = api.request(
            "GET", f"/v1/jobs?limit=2{f'&cursor={cursor}' if cursor else ''}", key=lister
        ).json()
        seen += [job["id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert seen == sorted(ids, reverse=True)
    running = api.request("GET", "/v1/jobs?state=running", key=lister).json()
    assert [job["id"] for job in running["jobs"]] == [ids[0]]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=101", "state=lost", "cursor=../x", "colour=red"]
)
def test_a_malformed_listing_is_said(api: Api, query: str):
    answer = api.request("GET", f"/v1/jobs?{query}")
    assert answer.status == 400
    assert problem_of(answer)


def test_health_says_ready(api: Api):
    assert api.request("GET", "/health/live", key="").status == 200
    assert api.request("GET", "/health/ready", key="").json() == {"status": "ready"}


def test_a_connection_left_idle_is_still_there_for_the_next_request(api: Api):
    connection = HTTPConnection(api.url.removeprefix("http://"), timeout=30)
    with closing(connection):
        connection.request("GET", "/health/live")
        assert connection.getresponse().read()
        # Gunicorn's own default is two seconds; a closed connection would be readable.
        assert select.select([connection.sock], [], [], 4) == ([], [], [])


def test_what_is_not_part_of_the_contract_yet_is_not_answered(api: Api, job: Job):
    assert problem_of(api.request("POST", f"/v1/jobs/{job.id}/cancel"))["status"] == 404
    answer = api.request("DELETE", f"/v1/jobs/{job.id}")
    assert problem_of(answer)["status"] == 405
    assert "GET" in answer.headers["Allow"]
