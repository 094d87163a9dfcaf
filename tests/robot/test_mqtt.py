"""Targets by MQTT 5, from a signed callback to consumers of a real broker."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from paho.mqtt.client import Client

from jobs.targets.freshness import moment_ns
from robot.mqtt.broker import broker_at
from stack.part import ROOT
from tests.conftest import await_that
from tests.proxies import make_certificate
from tests.robot.events import CLIENT, TRACEPARENT, an_event, made_later, signed_event
from tests.robot.peers import Broker, Consumer, Robot, Service, needs_mosquitto, robot_process

pytestmark = needs_mosquitto
needs_openssl = pytest.mark.skipif(
    not shutil.which("openssl"), reason="NO BROKER WITH TLS WAS TRIED: openssl is missing"
)
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


def test_a_late_consumer_is_not_given_what_is_over(robot: Robot, consumer: Consumer, broker: Broker):
    with Consumer(broker, "late", session_s=3600):
        pass
    short, long = an_event(valid_s=5), an_event(valid_s=300)
    assert [robot.tell(short), robot.tell(long)] == [204, 204]
    await_that(lambda: consumer.events() == [short, long])
    await_that(lambda: is_over(short))
    with Consumer(broker, "late", session_s=3600) as late:
        await_that(late.targets)
        last = an_event("withdrawn")
        robot.tell(last)
        await_that(lambda: late.events()[-1:] == [last])
        assert late.events() == [long, last]
        assert late.targets()[0].properties.MessageExpiryInterval < 299, "the broker counts down"


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
    assert robot.tell(event) == 429
    service.ahead_s = 0
    consumer.await_status("online")
    assert robot.tell(made_later(event)) == 204
    await_that(consumer.targets)


def test_what_is_over_before_the_broker_is_back_is_dropped_and_counted(robot, consumer, broker):
    broker.stop()
    await_that(lambda: robot.logged("no connection to the broker"))
    short = an_event(valid_s=4)
    assert robot.tell(short) == 204
    await_that(lambda: robot.logged("valid no longer"))
    (line,) = robot.logged("valid no longer")
    assert line["job"] == short["subject"]
    assert robot.metric('osteo_robot_dropped_total{transport="mqtt"}') == 1
    broker.start()
    await_that(lambda: robot.logged("connected to the broker")[1:])


def test_a_broker_that_hung_gets_what_it_missed(robot: Robot, consumer: Consumer, broker: Broker):
    broker.freeze()
    event = an_event()
    assert robot.tell(event) == 204
    await_that(lambda: robot.logged("no connection to the broker"))
    broker.thaw()
    await_that(lambda: consumer.events()[-1:] == [event])
    await_that(lambda: robot.logged("connected to the broker")[1:])
    consumer.await_status("online")


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


def page_block(name: str, moved: dict[str, str]) -> list[str]:
    """The lines of a file of the page, in which texts are `moved`."""
    page = (ROOT / "docs/robots.md").read_text()
    (text,) = re.findall(rf"```text\n# {name}\n(.*?)```", page, re.DOTALL)
    for old, new in moved.items():
        text = text.replace(old, new)
    return [line for line in text.splitlines() if not line.startswith("listener")]


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Broker]:
    """A broker with TLS, accounts and rights, as the page sets it up; and with another client's accounts."""
    make_certificate(tmp_path, "localhost")
    rights, passwords = tmp_path / "rights", tmp_path / "passwords"
    lines = page_block("/etc/mosquitto/rights", {})
    others = [line.replace("theatre", "ward") for line in lines]
    rights.write_text("\n".join([*lines, "", *others, ""]))
    passwords.touch(0o600)
    for user in ("robot-theatre", "robot-ward", "arm-theatre", "arm-ward"):
        subprocess.run(["mosquitto_passwd", "-b", passwords, user, password_of(user)], check=True)
    for file in (rights, passwords):
        file.chmod(0o700)
    made = Broker(
        tmp_path,
        *page_block("/etc/mosquitto/conf.d/osteo.conf", {"/etc/mosquitto": str(tmp_path)}),
        scheme="mqtts",
    )
    made.start()
    yield made
    made.stop()


def password_of(user: str) -> str:
    return f"what-{user}-alone-knows"


def known_as(user: str, folder: Path) -> dict[str, Any]:
    def prepare(mqtt: Client) -> None:
        mqtt.username_pw_set(user, password_of(user))
        mqtt.tls_set(str(folder / "certificate.pem"))

    return {"name": user, "before": prepare}


@contextmanager
def robot_as(user: str, folder: Path, service: Service, broker: Broker, *options: str) -> Iterator[Robot]:
    account = {"MQTT_USERNAME": user, "MQTT_PASSWORD": password_of(user)}
    with robot_process(folder, service.url, "--mqtt", broker.url, *options, environment=account) as robot:
        yield robot
    assert password_of(user) not in robot.log.read_text()


@needs_openssl
def test_rights_keep_clients_apart_and_arms_from_writing(tmp_path, service, guarded):
    trusted = ("--mqtt-ca", str(tmp_path / "certificate.pem"))
    with (
        Consumer(guarded, **known_as("arm-theatre", tmp_path)) as own,
        Consumer(guarded, **known_as("arm-ward", tmp_path), topic="osteo/v1/#") as other,
        Consumer(guarded, **known_as("robot-ward", tmp_path)) as writer,
        robot_as("robot-theatre", tmp_path, service, guarded, *trusted) as robot,
    ):
        own.await_status("online")
        event = an_event()
        own.publish(f"osteo/v1/{CLIENT}/jobs/job_x/targets", b"forged")
        assert robot.tell(event) == 204
        await_that(own.targets)
        assert own.events() == [event]
        writer.publish("osteo/v1/ward/status", b"online")
        other.await_status("online")
        assert [message.topic for message in other.messages] == ["osteo/v1/ward/status"]


@needs_openssl
def test_a_process_without_the_right_to_write_says_so(tmp_path, service, guarded):
    trusted = ("--mqtt-ca", str(tmp_path / "certificate.pem"))
    with (
        Consumer(guarded, **known_as("arm-theatre", tmp_path)) as own,
        robot_as("arm-ward", tmp_path, service, guarded, *trusted) as robot,
    ):
        await_that(lambda: robot.logged("the broker has refused a message: Not authorized"))
        robot.tell(an_event("withdrawn"))
        await_that(lambda: robot.metric('osteo_robot_dropped_total{transport="mqtt"}') == 1)
        await_that(lambda: robot.logged("no connection to the broker: it has refused a withdrawal"))
        assert own.messages == []


@needs_openssl
def test_a_broker_that_is_not_trusted_or_does_not_trust_gets_nothing(tmp_path, service, guarded):
    with robot_as("robot-theatre", tmp_path, service, guarded) as robot:
        await_that(lambda: robot.logged("certificate verify failed"))
    trusted = ("--mqtt-ca", str(tmp_path / "certificate.pem"))
    with robot_as("unknown", tmp_path, service, guarded, *trusted) as robot:
        await_that(lambda: robot.logged("no connection to the broker: Not authorized"))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mqtt://broker.example", "TLS"),
        ("mqtts://user:secret@broker.example", "MQTT_USERNAME"),  # pragma: allowlist secret
        ("http://localhost", "mqtts://host"),
        ("mqtts://", "mqtts://host"),
        ("mqtts://host:none", "Port"),
        ("mqtts://host/topic", "mqtts://host"),
    ],
)
def test_an_address_of_a_broker_of_another_form_is_refused(url: str, words: str):
    with pytest.raises(ValueError, match=words) as refusal:
        broker_at(url, None, {})
    assert "secret" not in str(refusal.value)


def test_the_password_of_a_broker_is_not_shown():
    broker = broker_at("mqtts://broker.example", None, {"MQTT_USERNAME": "u", "MQTT_PASSWORD": "hidden"})
    assert (broker.host, broker.port, broker.user) == ("broker.example", 8883, "u")
    assert "hidden" not in repr(broker)
