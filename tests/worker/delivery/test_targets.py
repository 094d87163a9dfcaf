"""The event of targets, as a receiver gets it: signed, up to date, and withdrawn where a report is."""

from dataclasses import replace
from typing import Any

import pytest
from standardwebhooks import Webhook

from jobs.callbacks.signing import webhook_secret
from jobs.lifecycle.deletion import delete
from jobs.reading.events import tell
from jobs.reading.readings import Readings
from jobs.record.events import TARGETS_EVENT
from jobs.record.job import Job, now
from jobs.store.ledger import Ledger
from jobs.store.registrations import BY_FILM, Registrations
from jobs.targets.events import announce_registration
from tests.conftest import SIGNING_KEY, a_job, a_study, only_a_tombstone_is_left
from tests.jobs.reading.signed import POLICY, amend, claimed, sign
from tests.jobs.targets.phantom import facts_of, result_of
from tests.worker.conftest import Receiver, deliver
from worker.delivery.deliver import DeliveryContext

BOX = [100, 120, 20, 16]


@pytest.fixture
def chosen(context: DeliveryContext) -> None:
    context.webhooks.choose("clinic", [TARGETS_EVENT])


def ended_job(ledger: Ledger, url: str) -> Job:
    job = a_job(callback_url=url, **facts_of(0.0, ("R", "F")))
    ledger.accept(job, b"image")
    return ledger.append(ledger.append(job.started("w", now())).succeeded(result_of(BOX), now()))


def signed_reading(ledger: Ledger, job: Job, url: str):
    Readings(ledger).request(job, POLICY, callback_url=url)
    reading = sign(ledger, claimed(ledger, job), sites=[{"box": BOX}])
    tell(reading, ledger, None)
    return reading


def deliver_events(ledger: Ledger, context: DeliveryContext) -> None:
    for item in [name for name in ledger.pending() if name.startswith("event_")]:
        deliver(item, context)


def told(receiver: Receiver) -> list[dict[str, Any]]:
    """What was received, each verified."""
    secret = Webhook(webhook_secret(SIGNING_KEY, "clinic"))
    return [secret.verify(body, headers) for headers, body in receiver.received]


@pytest.mark.usefixtures("chosen")
def test_a_job_with_a_result_sends_its_targets_as_a_cloudevent(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    deliver_events(ledger, context)
    ((headers, _),) = receiver.received
    (event,) = told(receiver)
    assert headers["content-type"] == "application/cloudevents+json"
    assert event["id"] == headers["webhook-id"]
    assert (event["type"], event["specversion"], event["subject"]) == (TARGETS_EVENT, "1.0", job.id)
    assert (event["source"], event["time"]) == ("https://osteo.example", event["data"]["produced_at"])
    assert event["datacontenttype"] == "application/vnd.osteo.targets+json; version=1"
    assert event["dataschema"] == "https://osteo.example/schemas/targets-1.json"
    assert (event["data"]["state"], event["data"]["actionable"]) == ("advisory", False)


def test_a_client_that_has_not_chosen_the_event_gets_none(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    signed_reading(ledger, job, receiver.url)
    deliver_events(ledger, context)
    delete(job.id, ledger)
    deliver_events(ledger, context)
    types = {event["type"] for event in told(receiver)}
    assert types == {"job.succeeded", "reading.requested", "reading.claimed", "reading.signed"}


@pytest.mark.usefixtures("chosen")
def test_signing_amending_and_deleting_send_states_in_sequence(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    deliver_events(ledger, context)
    reading = signed_reading(ledger, job, receiver.url)
    deliver_events(ledger, context)
    tell(amend(ledger, reading, "fracture"), ledger, None)
    deliver_events(ledger, context)
    delete(job.id, ledger)
    assert only_a_tombstone_is_left(job.id, ledger)
    deliver_events(ledger, context)
    told_of = [event["data"] for event in told(receiver)]
    assert [(data["sequence"], data["state"], data["actionable"]) for data in told_of] == [
        (1, "advisory", False),
        (2, "reviewed", True),
        (3, "withdrawn", False),
        (4, "withdrawn", False),
    ]
    assert len({event["id"] for event in told(receiver)}) == 4
    assert len({data["targets"][0]["id"] for data in told_of}) == 1
    last = told_of[-1]["targets"][0]
    assert (last["score"], last["box_px"], last["ray"]) == (None, None, None), "of what is erased"
    assert told_of[-1]["provenance"]["image_sha256"] is None


@pytest.mark.usefixtures("chosen")
def test_an_event_that_is_delivered_late_has_the_present_state(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    reading = signed_reading(ledger, job, receiver.url)
    tell(amend(ledger, reading, "fracture"), ledger, None)
    deliver_events(ledger, context)
    assert {event["data"]["state"] for event in told(receiver)} == {"withdrawn"}
    assert {event["data"]["sequence"] for event in told(receiver)} == {3}


@pytest.mark.usefixtures("chosen")
def test_an_event_of_a_deleted_job_is_withdrawn_or_not_sent(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    signed_reading(ledger, job, receiver.url)
    delete(job.id, ledger)
    deliver_events(ledger, context)
    assert [event["data"]["blocking_reasons"] for event in told(receiver)] == [["report_deleted"]]
    assert [name for name in ledger.pending() if name.startswith("event_")] == []


@pytest.mark.usefixtures("chosen")
def test_a_second_call_of_a_job_makes_no_second_event(ledger, context, receiver):
    receiver.status = 500
    context.webhooks.choose("clinic", [TARGETS_EVENT, "job.succeeded"])
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    postponed = ledger.read(job.id)
    ledger.append(replace(postponed, version=postponed.version + 1, next_delivery_at=now()))
    deliver(job.id, context)
    assert sum(name.startswith("event_") for name in ledger.pending()) == 1


@pytest.mark.usefixtures("chosen")
def test_a_study_sends_the_targets_of_each_of_its_jobs(ledger, context, receiver):
    study, views = a_study(2, callback_url=receiver.url)
    ledger.accept_study(study, ((view, b"image") for view in views))
    for view in views:
        ledger.append(ledger.append(view.started("w", now())).succeeded(result_of(BOX), now()))
    ledger.append(study.concluded(True, now()))
    deliver(study.id, context)
    deliver_events(ledger, context)
    assert {event["subject"] for event in told(receiver)} == {view.id for view in views}
    registered(ledger, ledger.current(views[1].id), 50.0)
    deliver_events(ledger, context)
    assert (told(receiver)[-1]["subject"], told(receiver)[-1]["data"]["sequence"]) == (views[1].id, 2)


@pytest.mark.usefixtures("chosen")
def test_a_job_without_a_result_sends_no_targets(ledger, context, receiver):
    job = a_job(callback_url=receiver.url)
    ledger.accept(job, b"image")
    ledger.append(ledger.append(job.started("w", now())).failed("not-a-radiograph", "It is none.", now()))
    deliver(job.id, context)
    assert [name for name in ledger.pending() if name.startswith("event_")] == []


def registered(ledger: Ledger, job: Job, marker_mm: float) -> None:
    numbers = {"alternative": {"reprojection_px": 0.3}, "marker_mm": marker_mm}
    announce_registration(job, Registrations(ledger.records, BY_FILM).put(job.id, numbers, now()), ledger)


@pytest.mark.usefixtures("chosen")
def test_a_sheet_registered_in_the_radiograph_sends_targets_again(ledger, context, receiver):
    job = ended_job(ledger, receiver.url)
    deliver(job.id, context)
    deliver_events(ledger, context)
    for marker_mm in (50.0, 50.0, 60.0):
        registered(ledger, job, marker_mm)
        deliver_events(ledger, context)
    signed_reading(ledger, job, receiver.url)
    deliver_events(ledger, context)
    delete(job.id, ledger)
    deliver_events(ledger, context)
    # The same numbers again have the id of the first time, by which receivers drop them.
    sequences = {event["id"]: event["data"]["sequence"] for event in told(receiver)}
    assert list(sequences.values()) == [1, 2, 3, 4, 5]
