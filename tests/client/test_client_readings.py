"""Readings by both clients and at a terminal, over a real API: request, wait, verify, cancel."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest

from api.identity.key_store import Keys
from jobs.callbacks.signing import signed, webhook_secret
from jobs.reading.policy import Policies, ReadingPolicy
from jobs.reading.readings import Readings as JobReadings
from jobs.record.job import moment_text, now
from osteo_client import (
    NoSuchReading,
    NotEnded,
    NotRead,
    ReadingMoved,
    SignatureRejected,
    SignedReport,
    verify,
)
from osteo_client.signatures import verify_report
from tests.api.conftest import Api
from tests.api.readings.test_routes import Person
from tests.client.conftest import PNG, Door
from tests.client.test_command import key, lines, osteo
from tests.conftest import SIGNING_KEY, a_job
from worker.delivery.deliver import event_of

__all__ = ["key", "osteo"]
SITE = {"box": [10, 20, 30, 40], "bone": "Radius"}
LENGTH = {"kind": "length", "points": [[1, 2], [4, 6]], "calibration": {"mm": 10, "ends": [[0, 0], [20, 0]]}}
REPORT = {
    "finding": "fracture",
    "sites": [SITE],
    "measurements": [LENGTH],
    "text": "Bruch.\nDistal.",
    "urgent": True,
    "advice": "",
}
IMAGE = hashlib.sha256(PNG).hexdigest()


class Reader(Person):
    """A reader who reads for one client, in a group of its own."""

    def __init__(self, api: Api, client: str) -> None:
        super().__init__(api, "Dr. Ada", frozenset({client}))
        Policies(api.records).put(client, ReadingPolicy((client,)))

    def act(self, reading_id: str, act: str, **body: Any) -> None:
        answer = self.ask("POST", f"/v1/readings/{reading_id}/{act}", body or None)
        assert answer.status == 200, answer.data

    def sign(self, reading_id: str) -> None:
        self.act(reading_id, "claim")
        self.act(reading_id, "commit", finding="fracture")
        self.act(reading_id, "sign", report=REPORT, code=self.code())

    def give_back(self, reading_id: str) -> None:
        self.act(reading_id, "claim")
        self.act(reading_id, "return", reason="other_view", text="Side view, please.")


@pytest.fixture
def mine(connect: Any, api: Api, key: str) -> Iterator[Any]:
    """A client of this test's own."""
    client = connect(api.url, key)
    yield client
    client.close()


@pytest.fixture
def reader(api: Api, key: str) -> Reader:
    """A reader of the jobs of that client."""
    holder = Keys(api.records).holder_of(key)
    assert holder
    return Reader(api, holder.client)


def consent_of(api: Api, job_id: str, key: str) -> dict[str, Any]:
    answer = api.request("GET", f"/v1/jobs/{job_id}/consent", key=key)
    assert answer.status == 200, answer.data
    return answer.json()


def test_consent_is_given_with_a_reference_and_revoked(mine: Any, key: str, api: Api):
    sent = mine.submit(PNG, training_use="allowed", consent_reference="consent-118")
    given = consent_of(api, sent.id, key)
    assert (given["training_use"], given["consent_reference"]) == ("allowed", "consent-118")
    sent.set_consent("denied")
    assert consent_of(api, sent.id, key)["training_use"] == "denied"
    sent.set_consent("allowed", "consent-119")
    assert consent_of(api, sent.id, key)["consent_reference"] == "consent-119"


def test_a_submission_asks_for_a_reading_that_is_signed(mine: Any, reader: Reader, api: Api):
    sent = mine.submit(PNG, read="requested", due_seconds=600, question="Scaphoid?", training_use="allowed")
    assert api.ledger.read(sent.id).training_use == "allowed"
    (reading,) = mine.readings(sent.id)
    assert (reading.state, reading.question, reading.ended) == ("requested", "Scaphoid?", False)
    assert (reading.due_at - sent.job.created_at).total_seconds() == 600
    assert mine.request_reading(sent.id).id == reading.id
    with pytest.raises(NotEnded, match="requested"):
        mine.await_reading(reading.id, timeout=0)
    signing = Thread(target=reader.sign, args=(reading.id,))
    signing.start()
    done = mine.await_reading(reading.id)
    signing.join()
    assert (done.state, done.reader_name, done.report.finding) == ("signed", "Dr. Ada", "fracture")
    assert (done.report.sites[0].box, done.report.sites[0].bone) == ((10, 20, 30, 40), "Radius")
    (length,) = done.report.measurements
    assert (length.kind, length.points, length.value) == ("length", ((1, 2), (4, 6)), 2.5)
    assert (length.unit, length.plane, length.calibrated_on) == ("mm", "calibrated", 10)
    assert mine.reading(done.id) == done


def test_waiting_costs_the_service_no_answer_while_nothing_changes(
    connect: Any, door: Door, key: str, reader: Reader
):
    mine = connect(door.url, key)
    reading = mine.request_reading(mine.submit(PNG).id)
    door.seen.clear()
    waiting = Thread(target=lambda: mine.await_reading(reading.id))
    waiting.start()
    assert door.await_requests(3, 60)
    reader.give_back(reading.id)
    waiting.join()
    first, *later = door.seen
    assert "if-none-match" not in first.headers
    assert all("if-none-match" in seen.headers for seen in later)


def test_a_signature_is_verified_and_a_changed_report_is_not(mine: Any, reader: Reader):
    reading = mine.request_reading(mine.submit(PNG).id)
    keys = mine.key_set()
    with pytest.raises(SignatureRejected, match="no such signed report"):
        verify_report(reading, keys, IMAGE)
    reader.sign(reading.id)
    reader.act(
        reading.id, "amend", report=REPORT | {"text": "Alt."}, code=reader.code(), reason="Second look."
    )
    done = mine.reading(reading.id)
    assert verify_report(done, keys, IMAGE)["number"] == 2
    claims = verify_report(done, keys, IMAGE, number=1)
    assert (claims["reader_name"], claims["reading"]) == ("Dr. Ada", done.id)
    document = done.reports[1].document
    changed = SignedReport.read(document | {"report": document["report"] | {"finding": "no_fracture"}})
    for forged, image in (
        (replace(done, reports=(changed,)), IMAGE),
        (replace(done, reports=(replace(done.reports[1], jws=done.reports[0].jws),)), IMAGE),
        (replace(done, id="reading_other"), IMAGE),
        (done, "0" * 64),
    ):
        with pytest.raises(SignatureRejected):
            verify_report(forged, keys, image)
    other = {"keys": [{**keys["keys"][0], "x": "A" * 43}]}
    with pytest.raises(SignatureRejected, match="none of these keys"):
        verify_report(done, other, IMAGE)


def test_a_reading_is_canceled_once_and_a_signed_one_never(mine: Any, reader: Reader, door: Door, connect):
    reading = mine.request_reading(mine.submit(PNG).id, question="Of what?", due_seconds=60)
    lossy = connect(door.url, reader.api.key)
    with pytest.raises(NoSuchReading):
        lossy.cancel_reading(reading.id)
    assert mine.cancel_reading(reading.id).state == "canceled"
    again = mine.request_reading(reading.job)
    assert again.id != reading.id
    reader.sign(again.id)
    with pytest.raises(ReadingMoved):
        mine.cancel_reading(again.id)
    with pytest.raises(NoSuchReading):
        mine.reading("reading_01ARZ3NDEKTSV4RRFFQ69G5FAV")  # pragma: allowlist secret


def test_a_cancellation_whose_answer_is_lost_is_one_cancellation(
    connect: Any, door: Door, key: str, reader: Reader
):
    mine = connect(door.url, key)
    reading = mine.request_reading(mine.submit(PNG).id)
    before = len(door.seen)
    door.treat = lambda n: "lose" if n == before + 1 else None
    assert mine.cancel_reading(reading.id).state == "canceled"


def test_a_client_without_readers_learns_that_no_one_reads(mine: Any):
    with pytest.raises(NotRead):
        mine.request_reading(mine.submit(PNG).id)


@pytest.mark.parametrize("type_", ["reading.requested", "reading.signed"])
def test_the_event_of_a_reading_says_where_it_stands(type_: str):
    data = {"id": "reading_1", "job": "job_1", "state": "signed", "due_at": moment_text(now())}
    event = event_of(a_job(announces={"type": type_, "data": data}), None, "https://osteo.example", now())  # type: ignore[arg-type]
    secret = webhook_secret(SIGNING_KEY, "clinic")
    told = verify(secret, *signed("msg_1", event, [secret], now()))
    assert told.reading
    assert (told.type, told.job, told.reading.id, told.reading.job) == (type_, None, "reading_1", "job_1")
    assert (told.reading.state, moment_text(told.reading.due_at)) == ("signed", data["due_at"])


def test_the_command_submits_requests_waits_and_shows(osteo: Any, reader: Reader, key: str, tmp_path: Any):
    (tmp_path / "x.png").write_bytes(PNG)
    asked = ("--read", "requested", "--due-seconds", "600", "--question", "Scaphoid?")
    (sent,) = lines(osteo("submit", "x.png", *asked, "--training-use", "allowed", "--json"))
    (plain,) = lines(osteo("submit", "x.png", "--json"))
    assert plain["id"] != sent["id"], "another wish is another submission"
    assert reader.api.ledger.read(sent["id"]).training_use == "allowed"
    (said,) = lines(osteo("consent", "denied", sent["id"], "--json"))
    assert said == {"id": sent["id"], "training_use": "denied"}
    assert consent_of(reader.api, sent["id"], key)["training_use"] == "denied"
    (listed,) = lines(osteo("readings", "list", sent["id"], "--json"))
    assert listed["reading"]["question"] == "Scaphoid?"
    hook = "https://clinic.example/hook"
    wishes = ("--due-seconds", "60", "--priority", "stat", "--callback", hook)
    requested = osteo("readings", "request", plain["id"], *wishes)
    other, job, state, due = requested.stdout.split(maxsplit=3)
    assert (job, state, due[:4]) == (plain["id"], "requested", "due ")
    assert JobReadings(reader.api.ledger).read(other).callback_url == hook
    reader.sign(listed["id"])
    reader.give_back(other)
    waited = osteo("readings", "wait", listed["id"])
    assert (waited.returncode, waited.stdout) == (
        0,
        f"{listed['id']}  {sent['id']}  signed  fracture  urgent  Dr. Ada\n",
    )
    shown = osteo("readings", "show", listed["id"], other)
    assert "\n    Bruch.\n    Distal.\n" in shown.stdout
    assert f"{other}  {plain['id']}  returned  other_view  Dr. Ada\n" in shown.stdout
    assert osteo("readings", "wait", other, listed["id"]).returncode == 1
    refused = osteo("readings", "cancel", listed["id"])
    assert (refused.returncode, "409 reading-moved" in refused.stderr) == (3, True)
    (document,) = lines(osteo("readings", "show", listed["id"], "--json"))
    shown_report = document["reading"]["report"]
    (measured,) = shown_report.pop("measurements")
    assert shown_report | {"sites": [SITE], "measurements": REPORT["measurements"]} == REPORT
    assert (measured["value"], measured["points"]) == (2.5, LENGTH["points"])
