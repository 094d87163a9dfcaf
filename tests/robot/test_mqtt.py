"""Targets by MQTT 5, from a signed callback to consumers of a real broker."""

import os
import signal

from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from tests.robot.events import CLIENT, TRACEPARENT, an_event, signed_event
from tests.robot.peers import Consumer, Robot, await_that, needs_mosquitto

pytestmark = needs_mosquitto


def test_a_signed_callback_is_published_for_the_rest_of_its_validity(robot: Robot, consumer: Consumer):
    event = an_event(valid_s=300)
    body, headers = signed_event(event)
    assert robot.call(body, headers) == 204
    await_that(consumer.targets)
    (message,) = consumer.targets()
    assert message.topic == f"osteo/v1/{CLIENT}/jobs/{event['subject']}/targets"
    assert (message.payload, message.qos, message.retain) == (body, 1, False)
    properties = message.properties
    assert properties.ContentType == "application/cloudevents+json"
    assert properties.UserProperty == [("traceparent", TRACEPARENT)]
    assert 0 < properties.MessageExpiryInterval <= 300
    read = from_http_event(HTTPMessage({"content-type": properties.ContentType}, message.payload))
    assert (read.get_type(), read.get_subject()) == ("org.osteo.targets.v1", event["subject"])
    assert read.get_data() == event["data"]


def test_consumers_are_told_offline_after_a_kill(robot: Robot, consumer: Consumer):
    os.kill(robot.process.pid, signal.SIGKILL)
    consumer.await_status("offline")
    with Consumer(consumer.broker, "late") as late:
        late.await_status("offline")
        assert late.messages[0].retain
