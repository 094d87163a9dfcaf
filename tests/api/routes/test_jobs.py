import io
import select
from contextlib import closing
from http.client import HTTPConnection
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from admin.keys import Keys
from jobs.record.job import Job, now
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import INVERTED
from tests import pictures
from tests.api.conftest import RESULT, Api, problem_of
from tests.conftest import a_job

PNG = pictures.encoded(pictures.gray())


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def job(api: Api, ledger: Ledger) -> Job:
    return ledger.read(api.submit(PNG).json()["id"])


@pytest.fixture
def succeeded(job: Job, ledger: Ledger) -> Job:
    running = ledger.append(job.started("w", now()))
    return ledger.append(running.succeeded(RESULT, now(), bytes([0, 0, 200, 0])))


@pytest.mark.parametrize("what", ["result", "heatmap"])
def test_a_result_that_is_not_ready_names_the_time_to_ask_again(api: Api, job: Job, what: str):
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
        drawn = np.asarray(overlay.convert("RGB"), int)
    (region,) = RESULT["regions"]
    x, y, width, height = region["box"]
    assert np.array_equal(
        drawn[y : y + height, x : x + width, 0], pictures.gray()[y : y + height, x : x + width]
    )
    assert (drawn[y - 1, x : x + width] == (255, 205, 90)).all()
    assert np.ptp(drawn[:40, 70:], axis=2).max() < 10, "no heat is drawn"


def test_a_missing_image_is_answered_object_missing(api: Api, succeeded: Job):
    image, *_ = api.objects.keys(f"clients/{succeeded.client}/jobs/")
    api.objects.delete(image)
    answer = api.request("GET", f"/v1/jobs/{succeeded.id}/heatmap")
    assert (answer.status, problem_of(answer)["type"]) == (500, "/problems/object-missing")


def test_a_failed_job_answers_with_its_error_for_its_result(api: Api, job: Job, ledger: Ledger):
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


def test_a_job_is_read_after_redis_was_wiped(api: Api, job: Job):
    api.redis.flushall()
    assert api.request("GET", f"/v1/jobs/{job.id}").json()["state"] == "queued"


@pytest.mark.parametrize("path", ["", "/result", "/heatmap", "/image", "/pixels"])
def test_another_clients_job_does_not_exist(api: Api, job: Job, path: str):
    other = Keys(api.records).create("another")
    answer = api.request("GET", f"/v1/jobs/{job.id}{path}", key=other)
    assert answer.status == 404
    assert problem_of(answer)


@pytest.mark.parametrize("job_id", ["job_x", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV", "..%2Fkeys"])
def test_an_unknown_job_is_404(api: Api, job_id: str):
    answer = api.request("GET", f"/v1/jobs/{job_id}")
    assert answer.status == 404
    assert problem_of(answer)


def test_a_clients_jobs_are_listed_page_by_page(api: Api, ledger: Ledger):
    lister = Keys(api.records).create("page-by-page")
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


def test_pages_do_not_shift_while_jobs_arrive_and_go(api: Api):
    key = Keys(api.records).create("busy")

    def submit() -> str:
        return api.request("POST", "/v1/jobs", key=key, fields={"image": ("x.png", PNG)}).json()["id"]

    ids = [submit() for _ in range(4)]
    first = api.request("GET", "/v1/jobs?limit=2", key=key).json()
    submit()
    assert api.request("DELETE", f"/v1/jobs/{first['next_cursor']}", key=key).status == 204
    second = api.request("GET", f"/v1/jobs?limit=2&cursor={first['next_cursor']}", key=key).json()
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[::-1]
    assert second["next_cursor"] is None


def test_jobs_are_found_by_reference_and_by_time(api: Api):
    key = Keys(api.records).create("finder")
    jobs = [
        api.request(
            "POST", "/v1/jobs", key=key, fields={"image": ("x.png", PNG), "reference": reference}
        ).json()
        for reference in ("R 1", "R 2", "R 1", "R 3")
    ]

    def found(**given: str) -> list[int]:
        page = api.request("GET", f"/v1/jobs?{urlencode(given)}", key=key).json()
        return [[job["id"] for job in jobs].index(job["id"]) for job in page["jobs"]]

    times = [job["created_at"] for job in jobs]
    assert found(reference="R 1") == [2, 0]
    assert found(reference="r 1") == []
    assert found(created_after=times[1]) == [3, 2, 1]
    assert found(created_before=times[1]) == [0]
    assert found(created_after=times[1], created_before=times[3], reference="R 1") == [2]
    assert found(created_before=times[2], cursor=jobs[3]["id"]) == [1, 0]
    assert found(created_before=times[3], cursor=jobs[1]["id"]) == [0]
    assert found(created_after="1901-01-01T00:00:00Z", created_before="9999-12-31T23:59:59Z") == [3, 2, 1, 0]
    other = Keys(api.records).create("another")
    assert api.request("GET", "/v1/jobs?reference=R%201", key=other).json()["jobs"] == []


def test_a_listing_without_a_match_continues_after_the_jobs_it_read(api: Api, ledger: Ledger):
    lister = Keys(api.records).create("searcher")
    jobs = [a_job("searcher", reference="found" if number == 0 else "x") for number in range(205)]
    for job in jobs:
        api.objects.put(f"clients/searcher/jobs/{job.id.removeprefix('job_').translate(INVERTED)}", b"")
        ledger.view.put(job)
    jobs.sort(key=lambda job: job.id, reverse=True)
    first = api.request("GET", "/v1/jobs?reference=found", key=lister).json()
    assert (first["jobs"], first["next_cursor"]) == ([], jobs[199].id)
    second = api.request("GET", f"/v1/jobs?reference=found&cursor={jobs[199].id}", key=lister).json()
    assert [job["reference"] for job in second["jobs"]] == ["found"]


@pytest.mark.parametrize(
    "query",
    [
        *("limit=0", "limit=x", "limit=101", "limit=\u0663", "state=lost", "state=erased", "cursor=../x"),
        *("colour=red", "created_after=yesterday", "created_before=2026-11-23T12:00:00"),
        "created_after=0001-01-01T00:00:00%2B14:00",
    ],
)
def test_a_malformed_listing_is_refused(api: Api, query: str):
    answer = api.request("GET", f"/v1/jobs?{query}")
    assert answer.status == 400
    assert problem_of(answer)


def test_health_answers_ready(api: Api):
    assert api.request("GET", "/health/live", key="").status == 200
    assert api.request("GET", "/health/ready", key="").json() == {"status": "ready", "degraded": []}


def test_an_idle_connection_serves_the_next_request(api: Api):
    connection = HTTPConnection(api.url.removeprefix("http://"), timeout=30)
    with closing(connection):
        connection.request("GET", "/health/live")
        assert connection.getresponse().read()
        # Gunicorn's own default is two seconds; a closed connection would be readable.
        assert select.select([connection.sock], [], [], 4) == ([], [], [])


def test_an_unknown_method_of_a_job_is_refused(api: Api, job: Job):
    answer = api.request("PATCH", f"/v1/jobs/{job.id}")
    assert problem_of(answer)["status"] == 405
    assert "GET" in answer.headers["Allow"]
