"""Tests images that are uploaded to the object store by a presigned URL, and submitted by their ids."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import urllib3

from admin.keys import Keys
from jobs.record.job import now
from jobs.redis.queue import JobQueue
from jobs.redis.view import View
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.uploads import GRACE, Uploads
from tests import pictures
from tests.api.conftest import MAX_BYTES, Api, problem_of
from tests.api.test_parts_down import client_of
from worker.sweeper.purge import purge

UNUSED = JobQueue.connect("redis://127.0.0.1:1")
"""For a purger for which no reading is due."""

PNG = pictures.encoded(pictures.gray())


@pytest.fixture
def ledger(api: Api) -> Ledger:
    return api.ledger


def ordered(api: Api, data: bytes = PNG, content_type: str = "image/png") -> dict:
    answer = api.request("POST", "/v1/uploads", json={"size": len(data), "content_type": content_type})
    assert answer.status == 201, answer.data
    return answer.json()


def put(upload: dict, data: bytes | Iterator[bytes], **headers: str) -> int:
    """Upload to the object store, without an API key, and return the status."""
    given = upload["headers"] | {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request(upload["method"], upload["url"], body=data, headers=given, retries=False).status


def uploaded(api: Api, data: bytes = PNG) -> str:
    upload = ordered(api, data)
    assert put(upload, data) == 200
    return upload["id"]


def submitted(api: Api, upload_id: str, name: str | None = None, **options) -> urllib3.BaseHTTPResponse:
    headers = {"Idempotency-Key": name} if name else {}
    return api.request("POST", "/v1/jobs", headers=headers, fields={"upload_id": upload_id}, **options)


def left(api: Api) -> list[str]:
    return list(api.objects.keys("uploads/"))


@pytest.fixture(autouse=True)
def nothing_left_before(api: Api) -> None:
    for key in left(api):
        api.objects.delete(key)


def test_an_upload_becomes_a_job_and_is_erased(api: Api):
    upload = ordered(api)
    assert put(upload, PNG) == 200
    fields = {"upload_id": upload["id"], "reference": "R 1", "priority": "stat"}
    answer = api.request("POST", "/v1/jobs", fields=fields)
    assert answer.status == 202, answer.data
    job = answer.json()
    assert (job["reference"], job["priority"]) == ("R 1", "stat")
    assert api.request("GET", f"/v1/jobs/{job['id']}/image").data == PNG
    assert left(api) == []


def test_an_upload_is_submitted_by_the_query_and_under_an_own_id(api: Api):
    answer = api.request("POST", f"/v1/jobs?upload_id={uploaded(api)}&reference=R+2")
    assert (answer.status, answer.json()["reference"]) == (202, "R 2")
    answer = api.request("PUT", f"/v1/jobs/by-upload?upload_id={uploaded(api)}")
    assert answer.status == 202
    assert api.request("GET", "/v1/jobs/by-upload/image").data == PNG


def test_the_object_store_refuses_another_size_or_type_than_ordered(api: Api):
    upload = ordered(api)
    others = {
        "longer": (PNG + b"x", {"Content_Length": str(len(PNG) + 1)}),
        "shorter": (PNG[:-1], {"Content_Length": str(len(PNG) - 1)}),
        "of another type": (PNG, {"Content_Type": "image/jpeg"}),
    }
    assert {name: put(upload, data, **headers) for name, (data, headers) in others.items()} == dict.fromkeys(
        others, 403
    )
    chunked = {"url": upload["url"], "method": "PUT", "headers": {"Content-Type": "image/png"}}
    assert put(chunked, iter([PNG, PNG])) == 403
    elsewhere = upload | {"url": upload["url"].replace("/uploads/clinic/", "/uploads/another/")}
    assert put(elsewhere, PNG) == 403
    assert urllib3.request("GET", upload["url"], retries=False).status == 403
    assert left(api) == []
    assert put(upload, PNG) == 200


def test_a_submitted_upload_that_differs_from_its_order_is_refused(api: Api):
    """Store an upload as a store does that does not check the signature."""
    jpeg = pictures.encoded(pictures.gray(), "JPEG")
    for data, said in (
        (PNG + b"x", f"{len(PNG)} were"),
        (PNG[:-1], f"{len(PNG)} were"),
        (jpeg, "image/png was"),
    ):
        order = PNG if data is not jpeg else jpeg
        upload_id = ordered(api, order)["id"]
        api.objects.put(f"uploads/clinic/{upload_id}", data)
        answer = submitted(api, upload_id)
        assert (answer.status, problem_of(answer)["type"]) == (422, "/problems/upload-differs")
        assert said in answer.json()["detail"]
        api.objects.delete(f"uploads/clinic/{upload_id}")


def test_an_order_has_an_end_and_counts_as_a_submission(api: Api):
    order = {"size": 1, "content_type": "application/dicom"}
    answer = api.request("POST", "/v1/uploads", json=order)
    expires_at = datetime.fromisoformat(answer.json()["expires_at"])
    assert now() < expires_at <= now() + timedelta(seconds=900)
    assert answer.json()["headers"] == {"Content-Type": "application/dicom", "Content-Length": "1"}
    again = api.request("POST", "/v1/uploads", json=order)
    counts = [int(a.headers["RateLimit"].split("r=")[1].split(";")[0]) for a in (answer, again)]
    assert counts[0] == counts[1] + 1


@pytest.mark.parametrize(
    "order",
    [
        None,
        [],
        {},
        {"size": 5},
        {"size": 0, "content_type": "image/png"},
        {"size": True, "content_type": "image/png"},
        {"size": "5", "content_type": "image/png"},
        {"size": 5, "content_type": "text/html"},
        {"size": 5, "content_type": ["image/png"]},
        {"size": 5, "content_type": "image/png", "key": "uploads/another/x"},
    ],
)
def test_a_malformed_order_is_refused(api: Api, order: object):
    before = api.traces()
    answer = api.request("POST", "/v1/uploads", json=order)
    assert (answer.status, problem_of(answer)["type"]) == (400, "/problems/malformed")
    assert api.traces() == before


def test_an_upload_over_the_limit_is_refused_when_ordered_and_submitted(api: Api, ledger: Ledger):
    order = {"size": MAX_BYTES + 1, "content_type": "image/png"}
    answer = api.request("POST", "/v1/uploads", json=order)
    assert (answer.status, problem_of(answer)["max_bytes"]) == (413, MAX_BYTES)
    # As a store would keep it that does not look at the size.
    upload = ordered(api)
    ledger.objects.put(f"uploads/clinic/{upload['id']}", bytes(MAX_BYTES + 1))
    answer = submitted(api, upload["id"])
    assert (answer.status, problem_of(answer)["type"]) == (413, "/problems/image-too-large")


def test_what_was_uploaded_is_checked_as_any_other_image(api: Api):
    for data, status in ((b"no image", 415), (pictures.truncated_jpeg(), 422), (pictures.bomb(), 413)):
        upload_id = uploaded(api, data)
        assert submitted(api, upload_id).status == status
        assert left(api) == [f"uploads/clinic/{upload_id}"], "until it is due to be erased"
        api.objects.delete(f"uploads/clinic/{upload_id}")


def test_an_image_and_an_upload_together_are_refused(api: Api):
    upload_id = uploaded(api)
    both = [
        api.submit(PNG, upload_id=upload_id),
        api.request("POST", f"/v1/jobs?upload_id={upload_id}", body=PNG),
    ]
    assert [problem_of(answer)["type"] for answer in both] == ["/problems/malformed"] * 2
    assert submitted(api, upload_id).status == 202


def test_an_upload_is_submitted_once(api: Api):
    upload_id = uploaded(api)
    assert submitted(api, upload_id).status == 202
    again = submitted(api, upload_id)
    assert (again.status, problem_of(again)["type"]) == (404, "/problems/no-such-upload")
    assert submitted(api, upload_id, "a key that stands for nothing").status == 404


@pytest.mark.parametrize("wiped", [False, True])
def test_an_upload_that_is_submitted_again_under_its_key_is_the_same_job(api: Api, wiped: bool):
    name = f"upload again {wiped}"
    upload_id = uploaded(api)
    first = submitted(api, upload_id, name)
    assert "Idempotency-Replayed" not in first.headers
    if wiped:
        api.redis.flushall()
    again = submitted(api, upload_id, name)
    assert (again.status, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["Idempotency-Replayed"] == "true"
    fields = {"upload_id": upload_id, "reference": "R 2"}
    other = api.request("POST", "/v1/jobs", headers={"Idempotency-Key": name}, fields=fields)
    assert (other.status, problem_of(other)["type"]) == (422, "/problems/key-reused")
    gone = submitted(api, "upload_01ARZ3NDEKTSV4RRFFQ69G5FAV", name)
    assert gone.status == 404, "another upload is never answered with this one's job"


def test_an_upload_left_by_a_crash_is_erased_when_it_is_submitted_again(api: Api):
    upload_id = uploaded(api)
    first = submitted(api, upload_id, "left behind")
    api.objects.put(f"uploads/clinic/{upload_id}", PNG)
    again = submitted(api, upload_id, "left behind")
    assert again.json()["id"] == first.json()["id"]
    assert left(api) == []


def test_another_clients_upload_does_not_exist(api: Api):
    upload_id, other = uploaded(api), Keys(api.records).create("another")
    for text in (upload_id, f"../clinic/{upload_id}", "", "job_01ARZ3NDEKTSV4RRFFQ69G5FAV"):
        answer = submitted(api, text, key=other)
        assert (answer.status, problem_of(answer)["type"]) == (404, "/problems/no-such-upload")
    assert left(api) == [f"uploads/clinic/{upload_id}"]


def test_an_upload_needs_a_key_that_may_submit(api: Api):
    reader = Keys(api.records).create("clinic", ["read"])
    order = {"size": 5, "content_type": "image/png"}
    assert api.request("POST", "/v1/uploads", key=reader, json=order).status == 403


def test_an_upload_that_is_never_submitted_is_erased_with_its_entry(api: Api, ledger: Ledger, monkeypatch):
    forgotten = uploaded(api)
    purge(ledger, UNUSED)
    assert left(api) == [f"uploads/clinic/{forgotten}"]
    after = timedelta(seconds=900) + GRACE + timedelta(seconds=2)
    assert list(api.objects.keys("orders/"))
    monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + after)
    listed = []
    monkeypatch.setattr(Objects, "keys", _recording(Objects.keys, listed))
    purge(ledger, UNUSED)
    assert "due/" in listed
    assert not [prefix for prefix in listed if prefix.startswith("upload") or not prefix]
    assert left(api) == []
    assert not any("upload_" in key for key in api.objects.keys("due/"))
    assert not list(api.objects.keys("orders/"))


def _recording(keys, listed: list[str]):
    def noted(self: Objects, prefix: str, after: str = "") -> Iterator[str]:
        listed.append(prefix)
        return keys(self, prefix, after)

    return noted


def test_an_upload_of_a_client_with_hyphens_in_its_name_is_erased_too(ledger: Ledger, monkeypatch):
    uploads = Uploads(ledger.objects, ledger.due_index, ledger.objects, timedelta(seconds=60))
    upload = uploads.open("clinic-a-2", 5, "image/png")
    assert put({"url": upload.url, "method": "PUT", "headers": dict(upload.headers)}, b"hello") == 200
    monkeypatch.setattr("jobs.store.clock.Clock.agreed", lambda _: now() + GRACE + timedelta(seconds=62))
    purge(ledger, UNUSED)
    assert uploads.size("clinic-a-2", upload.id) is None


def test_the_address_is_signed_for_where_clients_reach_the_store(settings, queue, servers):
    objects = Objects.connect(settings.s3_endpoint_url, settings.s3_bucket)
    objects.make_bucket()
    ledger = Ledger(objects, View.connect(servers.redis_url, 60))
    elsewhere = replace(settings, s3_public_url="https://images.example.org")
    order = {"size": 5, "content_type": "image/png"}
    for chosen, start in ((settings, servers.s3_url), (elsewhere, "https://images.example.org")):
        upload = client_of(chosen, ledger, queue, Keys(ledger.records)).post("/v1/uploads", json=order).json
        assert upload["url"].startswith(f"{start}/{settings.s3_bucket}/uploads/clinic/{upload['id']}?")
        assert "X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost" in upload["url"]
