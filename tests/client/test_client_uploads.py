"""Submission through an upload by both clients, over a real API and object store."""

from uuid import uuid4

import httpx2
import pytest

from osteo_client import ImageRefused
from osteo_client.connection import settings
from osteo_client.steps import ServiceSteps
from tests import pictures
from tests.client.conftest import PNG, Api, Door, Worker


def test_an_image_is_uploaded_past_the_api_and_submitted(connect, api: Api, door: Door, worker: Worker):
    handle = connect(door.url, api.key).submit(PNG, upload=True, reference="R 1")
    assert [(seen.method, seen.path) for seen in door.seen] == [("POST", "/v1/uploads"), ("POST", "/v1/jobs")]
    assert not [seen for seen in door.seen if PNG in seen.body]
    assert worker.ledger.image(worker.job(handle.id)) == PNG
    assert handle.job.reference == "R 1"


def test_the_object_store_does_not_get_the_api_key(api: Api):
    steps = ServiceSteps(httpx2.Client(**settings(api.url, api.key)).build_request, 0)
    going = steps.submit(PNG, None, True)
    order = next(going)
    assert order.headers["Authorization"] == f"Bearer {api.key}"
    upload = {
        "id": "u",
        "method": "PUT",
        "url": "https://s3.example/u",
        "headers": {"Content-Type": "image/png"},
    }
    put = going.send(httpx2.Response(201, json=upload, request=order))
    assert (put.method, str(put.url), put.headers["Content-Type"]) == ("PUT", upload["url"], "image/png")
    assert "Authorization" not in put.headers


def test_an_upload_whose_answer_is_lost_makes_one_job(connect, api: Api, door: Door):
    door.treat = lambda n: "lose" if n == 2 else None
    client, reference = connect(door.url, api.key), str(uuid4())
    handle = client.submit(PNG, upload=True, reference=reference)
    assert [seen.path for seen in door.seen] == ["/v1/uploads", "/v1/jobs", "/v1/jobs"]
    assert [one.id for one in client.jobs(reference=reference)] == [handle.id]


def test_an_upload_with_a_key_used_before_is_the_same_job(client):
    key = str(uuid4())
    first = client.submit(PNG, idempotency_key=key)
    assert client.submit(PNG, upload=True, idempotency_key=key).id == first.id


def test_an_upload_that_is_no_whole_image_is_refused(client):
    with pytest.raises(ImageRefused):
        client.submit(pictures.truncated_jpeg(), upload=True)
