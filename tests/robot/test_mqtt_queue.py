"""What waits for a broker that is away."""

import json
import time
from collections.abc import Iterator

import pytest

from robot.event import TargetsEvent, targets_event
from robot.mqtt.broker import Broker
from robot.mqtt.outlet import MqttOutlet
from robot.outlet import OutletFull
from stack.addresses import free_ports
from tests.robot.events import CLIENT, an_event


@pytest.fixture
def outlet() -> Iterator[MqttOutlet]:
    """An outlet whose broker does not listen."""
    (port,) = free_ports(1)
    made = MqttOutlet(Broker("127.0.0.1", port, None, None, None), CLIENT)
    yield made
    made.close()


def event_of(job: str, sequence: int = 1) -> TargetsEvent:
    return targets_event(json.dumps(an_event("advisory", job, sequence)).encode(), None)


def test_the_queue_holds_a_thousand_jobs_and_the_newest_of_each(outlet: MqttOutlet):
    for number in range(1000):
        outlet.publish(event_of(f"job_{number}"), 300)
    with pytest.raises(OutletFull):
        outlet.publish(event_of("job_one_more"), 300)
    outlet.publish(event_of("job_0", sequence=2), 300)


def test_an_expired_event_leaves_the_queue(outlet: MqttOutlet, monkeypatch: pytest.MonkeyPatch):
    for number in range(999):
        outlet.publish(event_of(f"job_{number}"), 300)
    outlet.publish(event_of("job_short"), 10)
    with pytest.raises(OutletFull):
        outlet.publish(event_of("job_one_more"), 300)
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 10)
    outlet.publish(event_of("job_one_more"), 300)
