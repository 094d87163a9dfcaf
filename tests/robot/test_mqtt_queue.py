"""What waits for a broker that is away."""

import json
import time
from collections.abc import Iterator

import pytest

from robot.event import VerifiedTargets, verified_targets
from robot.mqtt.broker import Broker
from robot.mqtt.transport import MqttTransport
from robot.transport import TransportFull
from stack.addresses import free_ports
from tests.robot.events import CLIENT, an_event


@pytest.fixture
def transport() -> Iterator[MqttTransport]:
    """A transport whose broker does not listen."""
    (port,) = free_ports(1)
    made = MqttTransport(Broker("127.0.0.1", port, None, None, None), CLIENT)
    yield made
    made.close()


def event_of(job: str, sequence: int = 1) -> VerifiedTargets:
    return verified_targets(json.dumps(an_event("advisory", job, sequence)).encode(), None)


def test_the_queue_holds_a_thousand_jobs_and_the_newest_of_each(transport: MqttTransport):
    for number in range(1000):
        transport.publish(event_of(f"job_{number}"), 300)
    with pytest.raises(TransportFull):
        transport.publish(event_of("job_one_more"), 300)
    transport.publish(event_of("job_0", sequence=2), 300)


def test_an_expired_event_leaves_the_queue(transport: MqttTransport, monkeypatch: pytest.MonkeyPatch):
    for number in range(999):
        transport.publish(event_of(f"job_{number}"), 300)
    transport.publish(event_of("job_short"), 10)
    with pytest.raises(TransportFull):
        transport.publish(event_of("job_one_more"), 300)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 10)
    transport.publish(event_of("job_one_more"), 300)
