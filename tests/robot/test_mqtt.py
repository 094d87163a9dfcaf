"""Targets by MQTT 5, from a signed callback to consumers of a real broker."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from robot.event import moment_ns
from tests.robot.events import CLIENT, TRACEPARENT, an_event, made_later, signed_event
from tests.robot.peers import Broker, Consumer, Robot, Service, await_that, needs_mosquitto, robot_process

pytestmark = needs_mosquitto
STATES = ("advisory", "reviewed", "stale", "uncalibrated", "rejected", "withdrawn", "no_finding")


def is_over(event: dict) -> bool:
    return time.time_ns() > moment_ns(event["data"]["valid_until"])


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


def test_the_sdk_of_cloudevents_reads_every_message(robot: Robot, consumer: Consumer):
    sent = [an_event(state) for state in STATES]
    assert {robot.tell(event) for event in sent} == {204}
    await_that(lambda: len(consumer.targets()) == len(STATES))
    for message, event in zip(consumer.targets(), sent, strict=True):
        headers = {"content-type": message.properties.ContentType}
        read = from_http_event(HTTPMessage(headers, message.payload))
        assert (read.get_id(), read.get_type()) == (event["id"], "org.osteo.targets.v1")
        assert read.get_subject() == event["subject"]
        assert read.get_data() == event["data"]


def test_a_late_consumer_is_not_given_what_is_over(robot: Robot, broker: Broker):
    with Consumer(broker, "late", session_s=3600):
        pass
    short, long = an_event(valid_s=3), an_event(valid_s=300)
    assert [robot.tell(short), robot.tell(long)] == [204, 204]
    await_that(lambda: is_over(short))
    with Consumer(broker, "late", session_s=3600) as late:
        await_that(late.targets)
        last = an_event("withdrawn")
        robot.tell(last)
        await_that(lambda: len(late.targets()) == 2)
        assert [event["id"] for event in late.events()] == [long["id"], last["id"]]
        left_s = late.targets()[0].properties.MessageExpiryInterval
        assert left_s < 300, "the broker counts down"


def test_a_repeated_call_is_published_once(robot: Robot, consumer: Consumer):
    event, last = an_event(), an_event()
    assert [robot.tell(each) for each in (event, event, made_later(event), last)] == [204] * 4
    await_that(lambda: consumer.events()[-1:] == [last])
    assert consumer.events() == [event, last]


def test_what_is_not_signed_reaches_no_consumer(robot: Robot, consumer: Consumer):
    body, headers = signed_event(an_event("advisory"))
    assert robot.call(body.replace(b"advisory", b"reviewed"), headers) == 401
    assert robot.tell(an_event(), sent_ago_s=301) == 401
    last = an_event()
    robot.tell(last)
    await_that(consumer.targets)
    assert consumer.events() == [last]


def test_no_target_is_given_to_one_who_subscribes_later(robot: Robot, consumer: Consumer, broker: Broker):
    robot.tell(an_event())
    await_that(consumer.targets)
    with Consumer(broker, "later") as later:
        later.await_status("online")
        assert later.targets() == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_consumers_are_told_offline_when_the_process_is_gone(robot, consumer, number):
    os.kill(robot.process.pid, number)
    consumer.await_status("offline")
    if number == signal.SIGTERM:
        assert robot.process.wait() == 0
    with Consumer(consumer.broker, "late") as late:
        late.await_status("offline")
        assert [message.retain for message in late.messages] == [True]


def test_a_process_that_starts_again_is_online_again(tmp_path, service, broker, consumer):
    for _ in range(2):
        with robot_process(tmp_path, service.url, "--mqtt", broker.url):
            consumer.await_status("online")
        consumer.await_status("offline")


def test_the_status_is_told_again_with_the_time(robot: Robot, consumer: Consumer):
    known = len(consumer.messages)
    await_that(lambda: len(consumer.messages) >= known + 3)
    message = consumer.messages[-1]
    ((name, told),) = message.properties.UserProperty
    assert name == "time_ns"
    assert abs(time.time_ns() - int(told)) < 60 * 10**9
    assert 0 < message.properties.MessageExpiryInterval <= 10


def test_the_status_is_degraded_while_the_clocks_differ(robot: Robot, consumer: Consumer, service: Service):
    service.ahead_s = 5
    consumer.await_status("degraded")
    event = an_event()
    assert robot.tell(event) == 503
    service.ahead_s = 0
    consumer.await_status("online")
    assert robot.tell(made_later(event)) == 204
    await_that(consumer.targets)


def test_a_broker_that_is_back_gets_the_newest_of_what_is_valid(robot, consumer, broker):
    broker.stop()
    await_that(lambda: robot.logged("no connection to the broker"))
    short, early = an_event(valid_s=2), an_event("reviewed", sequence=2)
    late = an_event("withdrawn", job=early["subject"], sequence=3)
    assert {robot.tell(event) for event in (short, early, late)} == {204}
    await_that(lambda: robot.logged("valid no longer"))
    assert robot.metric('osteo_robot_dropped_total{outlet="mqtt"}') == 1
    (line,) = robot.logged("valid no longer")
    assert line["job"] == short["subject"]
    broker.start()
    with Consumer(broker, "second") as second:
        second.await_status("online")
    await_that(lambda: robot.logged("connected to the broker")[1:])


@pytest.fixture
def persistent(tmp_path: Path) -> Iterator[Broker]:
    """A broker that keeps sessions over its own restart."""
    made = Broker(
        tmp_path,
        "allow_anonymous true",
        "persistence true",
        f"persistence_location {tmp_path}/",
        "autosave_interval 1",
        "autosave_on_changes true",
    )
    made.start()
    yield made
    made.stop()


def test_what_a_broker_missed_reaches_a_consumer_once_it_is_back(tmp_path, service, persistent):
    with (
        Consumer(persistent, session_s=3600) as consumer,
        robot_process(tmp_path, service.url, "--mqtt", persistent.url) as robot,
    ):
        consumer.await_status("online")
        persistent.stop()
        await_that(lambda: robot.logged("no connection to the broker"))
        reviewed = an_event("reviewed", sequence=2)
        withdrawn = an_event("withdrawn", job=reviewed["subject"], sequence=3)
        robot.tell(reviewed)
        robot.tell(withdrawn)
        persistent.start()
        await_that(consumer.targets, persistent.log.read_text)
        assert consumer.events() == [withdrawn], "the older one of the job is void"


def test_the_rights_of_clients_keep_them_apart(tmp_path: Path, service: Service):
    passwords, rights = tmp_path / "passwords", tmp_path / "rights"
    passwords.touch(0o600)
    for user in ("robot-theatre", "arm-theatre", "arm-ward"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, f"secret of {user}"], check=True)
    rights.write_text(
        "user robot-theatre\ntopic write osteo/v1/theatre/#\n"
        "user arm-theatre\ntopic read osteo/v1/theatre/#\n"
        "user arm-ward\ntopic read osteo/v1/ward/#\n"
    )
    lines = ("allow_anonymous false", f"password_file {passwords}", f"acl_file {rights}")
    broker = Broker(tmp_path, *lines)
    broker.start()

    def known_as(user: str) -> dict:
        return {"before": lambda mqtt: mqtt.username_pw_set(user, f"secret of {user}"), "name": user}

    robots = {"MQTT_USERNAME": "robot-theatre", "MQTT_PASSWORD": "secret of robot-theatre"}
    with (
        Consumer(broker, **known_as("arm-theatre")) as own,
        Consumer(broker, **known_as("arm-ward"), topic="osteo/v1/#") as other,
        robot_process(tmp_path, service.url, "--mqtt", broker.url, environment=robots) as robot,
    ):
        own.await_status("online")
        event = an_event()
        own.publish(f"osteo/v1/{CLIENT}/jobs/job_x/targets", b"forged")
        robot.tell(event)
        await_that(own.targets)
        assert own.events() == [event], "an arm cannot publish"
        assert other.messages == []
    wrong = robots | {"MQTT_PASSWORD": "another"}
    with robot_process(tmp_path, service.url, "--mqtt", broker.url, environment=wrong) as robot:
        await_that(lambda: robot.logged("Not authorized"))
        assert "another" not in robot.log.read_text()
    broker.stop()
