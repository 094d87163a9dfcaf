"""Tests the routes under /v1/webhook."""

import json
from dataclasses import replace
from datetime import timedelta
from io import BytesIO

import pytest
from ulid import ULID

from admin.keys import Keys
from jobs.callbacks.signing import webhook_secret
from jobs.lifecycle.deletion import delete
from jobs.record.errors import NotStored, QueueAway
from jobs.record.events import USUAL_EVENTS
from jobs.record.job import Job, now
from jobs.record.states import Delivery
from jobs.store.receivers import PATIENCE, Receivers
from tests.api.test_parts_down import PNG, client_of
from tests.conftest import SIGNING_KEY, a_job

RESULT = {"finding": "fracture"}
URL = "https://clinic.example/hook"


@pytest.fixture
def client(settings, ledger, queue):
    return client_of(settings, ledger, queue, Keys(ledger.records))


@pytest.fixture
def another(settings, ledger, queue):
    keys = Keys(ledger.records)
    client = client_of(settings, ledger, queue, keys)
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {keys.create('another')}"
    return client


def delivered(ledger, **changes) -> Job:
    job = a_job(callback_url=URL, **changes)
    ledger.accept(job, b"image")
    ended = ledger.append(ledger.append(job.started("w", now())).succeeded(RESULT, now()))
    begun = ledger.append(ended.delivery_begun(now()))
    after = ledger.append(begun.delivered({"attempt": 1, "status": 200}))
    ledger.settle(after)
    return after


def test_a_client_chooses_its_events(client):
    assert client.get("/v1/webhook").json["events"] == [*USUAL_EVENTS]
    answer = client.patch("/v1/webhook", json={"events": ["job.failed"]})
    assert (answer.status_code, answer.json["events"]) == (200, ["job.failed"])
    assert client.get("/v1/webhook").json["events"] == ["job.failed"]
    for wrong in ({"events": ["job.born"]}, {"events": "job.failed"}, {}, {"events": [], "x": 1}, [1]):
        assert client.patch("/v1/webhook", json=wrong).status_code == 400


def test_a_rotation_shows_the_new_secret_once(client):
    answer = client.post("/v1/webhook/rotate").json
    assert answer["secret"] == webhook_secret(SIGNING_KEY, "clinic", 1)
    assert client.get("/v1/webhook").json["secret_rotated_at"] < answer["previous_secret_signs_until"]
    assert "whsec" not in json.dumps(client.get("/v1/webhook").json)


def test_a_client_lists_its_failing_receivers(client, another, ledger):
    receivers = Receivers(ledger.records)
    failing = receivers.failed(receivers.of("clinic", "https://clinic.example:443"), now() - PATIENCE, False)
    receivers.failed(failing, now(), False)
    (told,) = client.get("/v1/webhook").json["failing_receivers"]
    assert told["origin"] == "https://clinic.example:443"
    assert told["disabled_at"] > told["failing_since"]
    assert another.get("/v1/webhook").json["failing_receivers"] == []


def test_a_probe_is_sent_and_belongs_to_its_client(client, another, queue):
    answer = client.post("/v1/webhook/probes", json={"callback_url": URL})
    assert (answer.status_code, answer.json["delivery"]) == (202, None)
    assert queue.waiting() == {("probe", answer.json["id"])}
    here = f"/v1/webhook/probes/{answer.json['id']}"
    assert client.get(here).json == answer.json
    assert another.get(here).status_code == 404
    assert client.get("/v1/webhook/probes/probe_x").status_code == 404
    assert client.post("/v1/webhook/probes", json={"callback_url": "http://10.0.0.1/"}).status_code == 422
    assert client.post("/v1/webhook/probes", json={}).status_code == 400


def test_a_job_lists_its_deliveries_and_is_delivered_again(client, another, ledger, queue):
    job = delivered(ledger)
    here = f"/v1/jobs/{job.id}"
    assert client.get(f"{here}/deliveries").json == {"deliveries": [{"attempt": 1, "status": 200}]}
    answer = client.post(f"{here}/redeliver")
    assert (answer.status_code, answer.json["delivery"]) == (202, "pending")
    assert queue.waiting() == {("deliver", job.id)}
    assert list(ledger.pending()) == [job.id]
    assert another.get(f"{here}/deliveries").status_code == 404
    assert another.post(f"{here}/redeliver").status_code == 404
    running = a_job(callback_url=URL)
    ledger.accept(running, b"image")
    assert client.post(f"/v1/jobs/{running.id}/redeliver").status_code == 409


def test_deliveries_of_a_job_deleted_during_the_read_are_gone(client, ledger, monkeypatch):
    def deleted_first(job: Job) -> None:
        delete(job.id, ledger)
        raise NotStored(job.id)

    study = client.post("/v1/studies", data={"image": (BytesIO(PNG), "1.png")}).json
    monkeypatch.setattr(ledger, "deliveries", deleted_first)
    assert client.get(f"/v1/jobs/{delivered(ledger).id}/deliveries").status_code == 410
    assert client.get(f"/v1/studies/{study['id']}/deliveries").status_code == 410


def test_callbacks_since_a_time_are_delivered_again(client, another, ledger, monkeypatch):
    ids = [f"job_{ULID.from_datetime(now() - timedelta(hours=age))}" for age in (5, 3, 2, 1)]
    for job_id in ids:
        delivered(ledger, id=job_id)
    since = (now() - timedelta(hours=4)).isoformat()
    monkeypatch.setattr("api.callbacks.redeliveries.MOST_LOOKED_AT", 2)
    assert another.post("/v1/webhook/redeliver", json={"since": since}).json["redelivered"] == 0
    first = client.post("/v1/webhook/redeliver", json={"since": since})
    assert (first.status_code, first.json) == (202, {"redelivered": 2, "next_cursor": ids[2]})
    rest = client.post("/v1/webhook/redeliver", json={"since": since, "cursor": ids[2]})
    assert rest.json == {"redelivered": 1, "next_cursor": None}
    assert [ledger.read(job_id).delivery for job_id in ids] == [Delivery.DELIVERED, *[Delivery.PENDING] * 3]
    for wrong in (
        {},
        {"since": "yesterday"},
        {"since": "2026-11-23T12:00:00"},
        {"since": since, "cursor": 1},
    ):
        assert client.post("/v1/webhook/redeliver", json=wrong).status_code == 400


def test_a_redelivery_during_the_record_of_another_delivery_is_made(client, ledger, monkeypatch):
    job = delivered(ledger)
    append, others = ledger.append, iter([job.redelivered(now())])

    def after_another(record, *arguments):
        for other in others:
            append(append(other).delivered({"attempt": 1, "status": 200}))
        return append(record, *arguments)

    monkeypatch.setattr(ledger, "append", after_another)
    answer = client.post(f"/v1/jobs/{job.id}/redeliver")
    assert (answer.status_code, answer.json["delivery"]) == (202, "pending")


@pytest.mark.parametrize("path", ["/v1/jobs/{}/redeliver", "/v1/webhook/redeliver"])
def test_a_redelivery_that_cannot_be_stored_is_refused(client, ledger, monkeypatch, path):
    def away(*_: object) -> None:
        raise QueueAway("away")

    job = delivered(ledger)
    monkeypatch.setattr(ledger.view, "lock_version", away)
    since = (now() - timedelta(hours=1)).isoformat()
    answer = client.post(path.format(job.id), json={"since": since} if "webhook" in path else None)
    assert answer.status_code == 503
    assert ledger.read(job.id).delivery is Delivery.DELIVERED


def test_test_events_and_redeliveries_have_one_quota(settings, ledger, queue):
    few = replace(settings, client_callbacks=3)
    client = client_of(few, ledger, queue, Keys(ledger.records))
    ids = [delivered(ledger).id for _ in range(3)]
    answers = [
        client.post("/v1/webhook/probes", json={"callback_url": URL}),
        client.post(f"/v1/jobs/{ids[0]}/redeliver"),
        client.post("/v1/webhook/redeliver", json={"since": "2020-01-01T00:00:00Z"}),
        client.post(f"/v1/jobs/{ids[1]}/redeliver"),
        client.post("/v1/webhook/probes", json={"callback_url": URL}),
    ]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 202, 429]
    assert answers[0].headers["RateLimit-Policy"] == '"callbacks";q=3;w=60'
    assert answers[2].json["type"] == "/problems/quota-exceeded"
    assert int(answers[2].headers["Retry-After"]) <= 60
    assert ledger.read(ids[2]).delivery is Delivery.DELIVERED, "what was refused was not begun"


def test_a_callback_url_is_stored_as_it_is_called(client, ledger):
    given, called = (
        "https://k\u00f6ln.example/hook/\u00e4?x=\u00fc",
        "https://xn--kln-sna.example/hook/%C3%A4?x=%C3%BC",
    )
    job = client.post("/v1/jobs", data={"image": (BytesIO(PNG), "1.png"), "callback_url": given}).json
    assert ledger.read(job["id"]).callback_url == called
    study = client.post("/v1/studies", data={"image": (BytesIO(PNG), "1.png"), "callback_url": given}).json
    assert ledger.read(study["id"]).callback_url == called
    probe = client.post("/v1/webhook/probes", json={"callback_url": given}).json
    assert probe["callback_url"] == called
