"""Which events reach the transports, for how long, and which status they are told."""

import json
from collections.abc import Iterator

import pytest

from robot.clock import ServiceClock
from robot.event import verified_targets
from robot.relay import Outcome, Relay
from robot.transport import Status
from tests.robot.events import an_event, made_later
from tests.robot.fake_transport import FULL, FakeTransport
from tests.robot.peers import Service

DAY_S = 86_400


@pytest.fixture
def clock(service: Service) -> ServiceClock:
    made = ServiceClock(service.url)
    made.compare()
    return made


@pytest.fixture
def transport() -> FakeTransport:
    return FakeTransport()


@pytest.fixture
def relay(transport: FakeTransport, clock: ServiceClock) -> Iterator[Relay]:
    made = Relay([transport], clock, None)
    yield made
    made.close()


def take(relay: Relay, event: dict) -> Outcome:
    return relay.take(verified_targets(json.dumps(event).encode(), None))


def test_an_actionable_event_is_passed_for_its_validity(relay, transport):
    assert take(relay, an_event("reviewed", valid_s=120)) is Outcome.PASSED
    ((state, remaining_s),) = transport.events
    assert state == "reviewed"
    assert 100 < remaining_s <= 120


@pytest.mark.parametrize("valid_s", [0.9, -1, None])
def test_an_actionable_event_is_not_passed_after_its_validity(relay, transport, valid_s):
    assert take(relay, an_event("reviewed", valid_s=valid_s)) is Outcome.EXPIRED
    assert transport.events == []


@pytest.mark.parametrize("state", ["withdrawn", "rejected", "stale", "advisory", "uncalibrated"])
@pytest.mark.parametrize("valid_s", [-1, None])
def test_what_forbids_is_passed_after_its_validity(relay, transport, state, valid_s):
    assert take(relay, an_event(state, valid_s=valid_s)) is Outcome.PASSED
    assert transport.events == [(state, DAY_S)]


def test_a_target_that_says_actionable_is_judged_as_the_document(relay, transport):
    event = an_event("advisory", valid_s=-1)
    event["data"]["targets"][0]["actionable"] = True
    assert take(relay, event) is Outcome.EXPIRED


def test_an_event_that_is_repeated_is_passed_once(relay, transport):
    event = an_event("reviewed")
    assert [take(relay, event), take(relay, made_later(event))] == [Outcome.PASSED, Outcome.REPEATED]
    assert len(transport.events) == 1


def test_a_repeated_event_with_a_higher_sequence_is_passed(relay, transport):
    event = an_event("reviewed", sequence=2)
    withdrawn = an_event("withdrawn", job=event["subject"], sequence=3, id=event["id"])
    assert [take(relay, event), take(relay, withdrawn)] == [Outcome.PASSED] * 2
    assert [take(relay, withdrawn), take(relay, event)] == [Outcome.REPEATED] * 2
    assert [state for state, _ in transport.events] == ["reviewed", "withdrawn"]


def test_an_actionable_event_made_before_the_process_began_is_refused(transport, clock):
    event, withdrawn = an_event("reviewed"), an_event("withdrawn")
    relay = Relay([transport], clock, None)
    assert take(relay, event) is Outcome.REFUSED
    assert take(relay, withdrawn) is Outcome.PASSED
    assert take(relay, made_later(event)) is Outcome.PASSED, "the service sends it again"


def test_an_transport_that_fails_to_close_keeps_no_other_from_it(clock):
    class Broken(FakeTransport):
        def close(self) -> None:
            raise RuntimeError("broken")

    whole = FakeTransport()
    Relay([Broken(), whole], clock, None).close()
    assert whole.statuses == [Status.OFFLINE]


def test_an_older_event_is_not_passed_after_a_newer_one(relay, transport):
    reviewed = an_event("reviewed", sequence=2)
    job = reviewed["subject"]
    assert take(relay, an_event("withdrawn", job=job, sequence=3)) is Outcome.PASSED
    assert take(relay, reviewed) is Outcome.OUTDATED
    assert [state for state, _ in transport.events] == ["withdrawn"]


def test_an_event_of_the_same_sequence_made_earlier_is_not_passed(relay, transport):
    reviewed = an_event("reviewed", sequence=2)
    assert take(relay, an_event("stale", job=reviewed["subject"], sequence=2)) is Outcome.PASSED
    assert take(relay, reviewed) is Outcome.OUTDATED


def test_max_age_shortens_the_validity_of_an_event(transport, clock):
    relay = Relay([transport], clock, max_age_s=60)
    assert take(relay, an_event("reviewed", valid_s=300, age_s=20)) is Outcome.PASSED
    assert take(relay, an_event("reviewed", valid_s=300, age_s=61)) is Outcome.EXPIRED
    assert take(relay, an_event("advisory", valid_s=300, age_s=61)) is Outcome.PASSED
    (_, first_s), (_, last_s) = transport.events
    assert 30 < first_s <= 40
    assert last_s == DAY_S


@pytest.mark.parametrize("ahead_s", [-3, 3, 600])
def test_nothing_actionable_passes_while_the_clocks_differ(relay, transport, service, clock, ahead_s):
    service.ahead_s = ahead_s
    clock.compare()
    event = an_event("reviewed")
    assert take(relay, event) is Outcome.REFUSED
    assert take(relay, an_event("withdrawn")) is Outcome.PASSED
    relay.tell_status()
    assert transport.statuses == [Status.DEGRADED]
    service.ahead_s = 0
    clock.compare()
    relay.tell_status()
    assert transport.statuses[-1] is Status.ONLINE
    assert take(relay, made_later(event)) is Outcome.PASSED, "the service sends it again"


def test_nothing_actionable_passes_before_the_clocks_are_compared(transport, service):
    relay = Relay([transport], ServiceClock(service.url), None)
    assert take(relay, an_event("reviewed")) is Outcome.REFUSED
    relay.tell_status()
    assert transport.statuses == [Status.DEGRADED]


def test_an_event_that_was_made_in_the_future_is_refused(relay, transport):
    assert take(relay, an_event("reviewed", ahead_s=2)) is Outcome.REFUSED


@pytest.mark.parametrize("failure", [FULL, RuntimeError("broken")])
def test_an_transport_that_fails_keeps_no_event_from_another(clock, failure):
    broken, whole = FakeTransport(), FakeTransport()
    broken.fails = failure
    relay = Relay([broken, whole], clock, None)
    event = an_event("withdrawn")
    assert take(relay, event) is Outcome.NOT_TAKEN
    relay.tell_status()
    assert len(whole.events) == len(whole.statuses) == 1
    broken.fails = None
    assert take(relay, made_later(event)) is Outcome.PASSED, "the service sends it again"


@pytest.mark.parametrize("failure", [FULL, RuntimeError("broken")])
def test_nothing_older_follows_an_event_that_one_transport_refused(clock, failure):
    broken, whole = FakeTransport(), FakeTransport()
    broken.fails = failure
    relay = Relay([broken, whole], clock, None)
    older = an_event("reviewed", sequence=2)
    assert take(relay, an_event("withdrawn", job=older["subject"], sequence=3)) is Outcome.NOT_TAKEN
    broken.fails = None
    assert take(relay, older) is Outcome.OUTDATED
    assert [state for state, _ in whole.events] == ["withdrawn"]
    assert broken.events == []
