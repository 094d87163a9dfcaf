"""Callbacks over HTTP: what is accepted, and how each is answered."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask.testing import FlaskClient
from standardwebhooks import Webhook

from jobs.callbacks.signing import webhook_secret
from robot.clock import ServiceClock
from robot.receiver import MOST_BYTES, receiver
from robot.relay import Relay
from tests.robot.events import SECRET, an_event, made_later, signed_event
from tests.robot.fake_transport import FULL, FakeTransport
from tests.robot.peers import Service


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def http(service: Service, transport: FakeTransport) -> Iterator[FlaskClient]:
    clock = ServiceClock(service.url)
    clock.compare()
    relay = Relay([transport], clock, None)
    yield receiver(relay, SECRET).test_client()
    relay.close()


def status_of(http: FlaskClient, body: bytes, headers: dict[str, str]) -> int:
    return http.post("/callback", data=body, headers=headers).status_code


def test_a_signed_event_is_passed_and_its_repetition_only_answered(http, transport):
    event = an_event()
    assert status_of(http, *signed_event(event)) == 204
    assert status_of(http, *signed_event(made_later(event))) == 204
    assert len(transport.events) == 1


def test_a_replay_is_answered_and_not_passed(http, transport):
    body, headers = signed_event(an_event())
    assert [status_of(http, body, headers) for _ in range(3)] == [204] * 3
    assert len(transport.events) == 1


def forged(body: bytes, headers: dict[str, str]) -> Iterator[tuple[bytes, dict[str, str]]]:
    yield body.replace(b'"advisory"', b'"reviewed"') + b" ", headers
    yield body, headers | {"webhook-id": "msg_another"}
    yield body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}
    for signature in ("", "v1", "v1,", "v1,x", "v1,AAAA", "v2,AAAA", "v1,é"):
        yield body, headers | {"webhook-signature": signature}
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        yield body, {key: value for key, value in headers.items() if key != name}
    yield b"\xff", headers


def test_what_is_not_signed_so_is_refused(http, transport):
    for body, headers in forged(*signed_event(an_event("advisory"))):
        assert status_of(http, body, headers) == 401, headers
    assert transport.events == []


def test_the_secret_of_another_client_is_refused(http, transport):
    another = webhook_secret("a signing key that only the tests know, and long enough", "ward")
    assert status_of(http, *signed_event(an_event(), secret=another)) == 401
    assert transport.events == []


@pytest.mark.parametrize("sent_ago_s", [301, 86_400, -301])
def test_an_old_and_an_early_time_stamp_are_refused(http, transport, sent_ago_s):
    assert status_of(http, *signed_event(an_event(), sent_ago_s=sent_ago_s)) == 401
    assert transport.events == []


@pytest.mark.parametrize("type_", ["job.succeeded", "webhook.test", "org.osteo.targets.v2"])
def test_an_event_of_another_type_is_answered_and_not_passed(http, transport, type_):
    assert status_of(http, *signed_event(an_event(type=type_))) == 204
    assert transport.events == []


def damaged() -> Iterator[dict[str, Any]]:
    for name in ("sequence", "actionable", "produced_at", "valid_until", "targets"):
        event = an_event()
        del event["data"][name]
        yield event
    yield an_event(data=[])
    event = an_event()
    del event["subject"]
    yield event
    event = an_event()
    event["data"]["targets"][0]["actionable"] = "no"
    yield event
    yield an_event(subject="job_of_another")
    yield an_event(job="job/#")
    for name, value in (("produced_at", "2026-01-01T00:00:00"), ("valid_until", "soon"), ("sequence", "2")):
        event = an_event()
        event["data"][name] = value
        yield event


def test_a_signed_event_that_cannot_be_read_is_not_passed(http, transport):
    for event in damaged():
        assert status_of(http, *signed_event(event)) == 422, event
    assert transport.events == []


def test_an_event_whose_id_is_not_the_webhook_id_is_not_passed(http, transport):
    event = an_event()
    body = json.dumps(event)
    at = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_another",
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_another", at, body),
    }
    assert status_of(http, body.encode(), headers) == 422
    assert transport.events == []


def test_an_event_is_to_be_sent_again_where_an_transport_is_full(http, transport):
    transport.fails = FULL
    answer = http.post("/callback", data=(call := signed_event(an_event()))[0], headers=call[1])
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")


def test_an_actionable_event_is_to_be_sent_again_where_clocks_differ(http, transport, service):
    assert status_of(http, *signed_event(an_event(ahead_s=5))) == 429
    assert transport.events == []


def test_a_body_of_more_than_a_mebibyte_is_refused(http, transport):
    assert status_of(http, b"x" * (MOST_BYTES + 1), {}) == 413


def test_the_metrics_count_events_by_outcome(http, transport):
    def count() -> float:
        lines = http.get("/metrics").text.splitlines()
        (line,) = (line for line in lines if line.startswith('osteo_robot_events_total{outcome="expired"}'))
        return float(line.split()[-1])

    before = count()
    status_of(http, *signed_event(an_event(valid_s=-1)))
    assert count() == before + 1
