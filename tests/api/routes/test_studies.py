"""Tests studies over HTTP: several images, of which all are accepted or none."""

import json

import pytest
import urllib3

from jobs.lifecycle.next_step import start_next_step
from jobs.record.job import now
from jobs.record.states import Delivery
from jobs.redis.client_queues import client_queue_key
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger
from tests import pictures
from tests.api.conftest import MAX_BYTES, RESULT, Api, problem_of
from tests.conftest import WatchedQueue, only_a_tombstone_is_left

PNG = pictures.encoded(pictures.gray())
OTHER = pictures.encoded(pictures.gray()[::-1])
URL = "https://clinic.example/hook"


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


@pytest.fixture
def queue(servers) -> WatchedQueue:
    return WatchedQueue.connect(servers.redis_url)


def submit(
    api: Api, *images: bytes, headers: dict[str, str] | None = None, **fields: str
) -> urllib3.BaseHTTPResponse:
    parts = [("image", (f"{number}.png", image)) for number, image in enumerate(images)]
    return api.request("POST", "/v1/studies", headers=headers, fields=[*parts, *fields.items()])


def show(api: Api, study: dict) -> dict:
    answer = api.request("GET", study["links"]["self"].removeprefix("https://osteo.example"))
    assert answer.status == 200
    return answer.json()


def end(ledger: Ledger, queue: JobQueue, job_id: str, probability: float | None) -> None:
    """Let a job succeed with this probability, or fail without one."""
    running = ledger.append(ledger.read(job_id).started("w", now()))
    if probability is None:
        ended = running.failed("unreadable-image", "It cannot be read.", now())
    else:
        ended = running.succeeded(RESULT | {"probability": probability}, now())
    start_next_step(ledger.append(ended), ledger, queue)


def test_each_image_of_a_study_is_a_job_and_the_study_has_the_callback(api: Api, ledger: Ledger):
    answer = submit(api, PNG, OTHER, PNG, reference="R 1", priority="stat", callback_url=URL)
    assert answer.status == 202
    study = answer.json()
    assert answer.headers["Location"] == f"https://osteo.example/v1/studies/{study['id']}"
    assert (study["state"], study["delivery"], study["reference"]) == ("queued", "pending", "R 1")
    assert (study["summary"], study["finished_at"]) == (None, None)
    assert show(api, study) == study
    for view, image in zip(study["jobs"], (PNG, OTHER, PNG), strict=True):
        assert view["links"]["study"] == study["links"]["self"]
        assert api.request("GET", f"/v1/jobs/{view['id']}/image").data == image
        job = ledger.read(view["id"])
        assert (job.study, job.reference, job.priority) == (study["id"], "R 1", "stat")
        assert (job.callback_url, job.delivery) == (None, Delivery.NONE)
    assert api.redis.zcard(client_queue_key("clinic", "stat")) == 3


def test_the_summary_is_the_view_with_the_highest_probability(api: Api, ledger: Ledger, queue: JobQueue):
    study = submit(api, PNG, OTHER, PNG, callback_url=URL).json()
    jobs = [view["id"] for view in study["jobs"]]
    for job_id, probability in zip(jobs[:2], (0.3, 0.8), strict=True):
        end(ledger, queue, job_id, probability)
        assert show(api, study)["state"] == "running"
    assert queue.waiting() & {("deliver", study["id"])} == set()
    end(ledger, queue, jobs[2], None)
    ended = show(api, study)
    assert (ended["state"], ended["delivery"]) == ("succeeded", "pending")
    assert ended["summary"] == {"finding": "fracture", "probability": 0.8, "job": jobs[1]}
    assert [view["state"] for view in ended["jobs"]] == ["succeeded", "succeeded", "failed"]
    assert ended["jobs"][2]["error"]["type"] == "unreadable-image"
    assert ended["jobs"][0]["result"]["probability"] == 0.3
    assert ended["finished_at"]
    assert ("deliver", study["id"]) in queue.waiting()


def test_a_study_none_of_whose_views_succeeds_has_failed(api: Api, ledger: Ledger, queue: JobQueue):
    study = submit(api, PNG, OTHER).json()
    for view in study["jobs"]:
        end(ledger, queue, view["id"], None)
    ended = show(api, study)
    assert (ended["state"], ended["summary"], ended["delivery"]) == ("failed", None, "none")
    assert study["id"] not in set(ledger.pending())


REFUSED = {
    "a text": (415, (PNG, b"no image at all", PNG), {}, 2),
    "an image cut off": (422, (PNG, PNG, pictures.truncated_jpeg()), {}, 3),
    "too many bytes in one": (413, (PNG + b"\0" * MAX_BYTES,), {}, 1),
    "an empty file": (400, (PNG, b""), {}, 2),
    "no image": (400, (), {"reference": "R"}, None),
    "more than 20": (400, (PNG,) * 21, {}, None),
    "far more than 20": (400, (PNG,) * 40, {}, None),
    "too many bytes in all": (413, (PNG + b"\0" * (MAX_BYTES - len(PNG)),) * 11, {}, None),
    "a callback that may not be called": (422, (PNG,), {"callback_url": "https://127.0.0.1/"}, None),
    "a field that there is not": (400, (PNG,), {"colour": "red"}, None),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_study_with_a_refused_image_names_it_and_stores_nothing(api: Api, name: str):
    status, images, fields, place = REFUSED[name]
    before = api.traces()
    answer = submit(api, *images, **fields)
    assert answer.status == status
    assert problem_of(answer).get("image") == place
    assert api.traces() == before


def test_a_body_that_is_no_form_is_refused(api: Api):
    headers = {"Content-Type": "image/png"}
    answer = api.request("POST", "/v1/studies", body=PNG, headers=headers)
    assert (answer.status, problem_of(answer)["type"]) == (415, "/problems/unsupported-media-type")


def test_twenty_images_are_one_study(api: Api):
    study = submit(api, *[PNG] * 20, reference="R", priority="stat", metadata="{}", callback_url=URL).json()
    assert len({view["id"] for view in study["jobs"]}) == 20


def test_the_same_key_and_images_are_the_same_study(api: Api, ledger: Ledger):
    headers = {"Idempotency-Key": "of this very study"}
    first = submit(api, PNG, OTHER, headers=headers)
    jobs = set(ledger.of_client("clinic", None))
    again = submit(api, PNG, OTHER, headers=headers)
    assert (again.status, again.json()) == (202, first.json())
    assert again.headers["Idempotency-Replayed"] == "true"
    assert set(ledger.of_client("clinic", None)) == jobs
    answer = submit(api, OTHER, PNG, headers=headers)
    assert (answer.status, problem_of(answer)["type"]) == (422, "/problems/key-reused")


def test_a_study_is_deleted_with_all_of_its_jobs(api: Api, ledger: Ledger):
    headers = {"Idempotency-Key": "of a study that is deleted"}
    study = submit(api, PNG, OTHER, headers=headers, reference="R 9", callback_url=URL).json()
    path = f"/v1/studies/{study['id']}"
    assert api.request("DELETE", path).status == 204
    assert problem_of(api.request("GET", path))["type"] == "/problems/gone"
    assert api.request("DELETE", path).status == 410
    for view in study["jobs"]:
        assert only_a_tombstone_is_left(view["id"], ledger)
        assert api.request("GET", f"/v1/jobs/{view['id']}").status == 410
    assert only_a_tombstone_is_left(study["id"], ledger)
    assert submit(api, PNG, OTHER, headers=headers).json()["id"] != study["id"], "the key is free again"


@pytest.mark.parametrize("study_id", ["study_1", "study_01ARZ3NDEKTSV4RRFFQ69G5FAV", "job_1", "%2e%2e"])
def test_a_study_that_is_not_there_is_not_found(api: Api, study_id: str):
    for method in ("GET", "DELETE"):
        answer = api.request(method, f"/v1/studies/{study_id}")
        assert (answer.status, problem_of(answer)["type"]) == (404, "/problems/no-such-study")


def test_the_callback_knows_nothing_of_the_metadata(api: Api):
    study = submit(api, PNG, metadata=json.dumps({"name": "Doe"})).json()
    assert "Doe" not in json.dumps(study)
    job = api.request("GET", f"/v1/jobs/{study['jobs'][0]['id']}").json()
    assert job["metadata"] == {"name": "Doe"}


def test_a_study_lists_its_deliveries_and_is_delivered_again(api: Api, ledger: Ledger, queue: JobQueue):
    study = submit(api, PNG, callback_url=URL).json()
    here = f"/v1/studies/{study['id']}"
    assert problem_of(api.request("POST", f"{here}/redeliver"))["type"] == "/problems/nothing-to-deliver"
    end(ledger, queue, study["jobs"][0]["id"], 0.9)
    begun = ledger.append(ledger.read(study["id"]).delivery_begun(now()))
    ledger.settle(ledger.append(begun.delivered({"attempt": 1, "status": 200})))
    assert api.request("GET", f"{here}/deliveries").json() == {"deliveries": [{"attempt": 1, "status": 200}]}
    again = api.request("POST", f"{here}/redeliver")
    assert (again.status, again.json()["delivery"]) == (202, "pending")
    assert ("deliver", study["id"]) in queue.waiting()
