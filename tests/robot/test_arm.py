"""The arm of docs/robots.md, between a real broker and a real process: it moves on `actionable` alone."""

import importlib.util
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from paho.mqtt.client import CallbackAPIVersion, Client
from paho.mqtt.enums import MQTTProtocolVersion

from jobs.callbacks.signing import webhook_secret
from jobs.record.ids import new_id
from jobs.targets.states import TargetState
from stack.part import ROOT
from tests.conftest import SIGNING_KEY, await_that
from tests.robot.events import CLIENT, an_event, signed_event
from tests.robot.peers import Broker, Robot, Service, needs_mosquitto, robot_process

pytestmark = needs_mosquitto


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The program of the page, as a module."""
    text = (ROOT / "docs/robots.md").read_text()
    (block,) = re.findall(r"`/tmp/arm.py`:\n\n```python\n(.*?)```", text, re.DOTALL)
    file = tmp_path_factory.mktemp("page") / "arm.py"
    file.write_text(block)
    spec = importlib.util.spec_from_file_location("arm_of_the_page", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Watched:
    """An arm at a broker, with a job of its own."""

    def __init__(self, page: ModuleType, broker: Broker, robot: Robot, now: Callable[[], float]) -> None:
        self.job = new_id("job")
        self.robot = robot
        self.arm: Any = page.Arm(CLIENT, self.job, now)
        self.statuses = 0
        self.received: list[str] = []
        self.mqtt = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self.mqtt.on_connect = self.arm.subscribe
        self.mqtt.on_message = self._receive
        self.mqtt.connect("localhost", broker.port)
        self.mqtt.loop_start()
        await_that(lambda: self.statuses > 1)  # One is retained.

    @property
    def moves(self) -> bool:
        return self.arm.target() is not None

    def event(self, state: str = "reviewed", sequence: int = 2, **changes: Any) -> dict[str, Any]:
        return an_event(state, self.job, sequence, **changes)

    def is_told(self, *given: Any, **changes: Any) -> None:
        """Tell the process of an event, and wait until the arm has it."""
        event = self.event(*given, **changes)
        assert self.robot.tell(event) == 204
        await_that(lambda: event["id"] in self.received)

    def _receive(self, mqtt: Client, data: Any, message: Any) -> None:
        self.arm.receive(mqtt, data, message)
        self.statuses += message.topic.endswith("/status")
        found = re.search(rb'"id":"(msg_\w+)"', message.payload)
        self.received += [found[1].decode()] if found else []


@contextmanager
def watched(
    page: ModuleType, broker: Broker, robot: Robot, now: Callable[[], float] = time.time
) -> Iterator[Watched]:
    made = Watched(page, broker, robot, now)
    try:
        yield made
    finally:
        made.mqtt.disconnect()
        made.mqtt.loop_stop()


@dataclass(frozen=True)
class Peers:
    """What arms of several tests share."""

    service: Service
    broker: Broker
    robot: Robot


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    folder = tmp_path_factory.mktemp("peers")
    service, broker = Service(), Broker(folder)
    broker.start()
    with robot_process(folder, service.url, "--mqtt", broker.url) as robot:
        yield Peers(service, broker, robot)
    broker.stop()
    service.close()


@pytest.fixture
def arm(page: ModuleType, peers: Peers) -> Iterator[Watched]:
    with watched(page, peers.broker, peers.robot) as made:
        await_that(lambda: not made.arm.silent())
        assert not made.moves, "nothing was told"
        yield made


@pytest.fixture
def moving_arm(page: ModuleType, robot: Robot, broker: Broker) -> Iterator[Watched]:
    """An arm that moves, by a process and a broker that the test may end."""
    with watched(page, broker, robot) as made:
        made.is_told("reviewed")
        assert made.moves
        yield made


def test_the_arm_moves_on_actionable_until_it_is_withdrawn(arm: Watched):
    arm.is_told("reviewed")
    assert arm.moves
    arm.is_told("withdrawn", 3)
    assert not arm.moves


@pytest.mark.parametrize("state", [state for state in TargetState if state != "reviewed"])
def test_every_other_state_leaves_the_arm_still(arm: Watched, state: str):
    arm.is_told(state)
    assert not arm.moves
    assert not arm.arm.silent(), "it was the state"


def test_a_target_of_another_job_leaves_the_arm_still(arm: Watched):
    arm.robot.tell(an_event("reviewed"))
    arm.is_told("advisory")
    assert not arm.moves


def test_the_end_of_the_validity_leaves_the_arm_still(arm: Watched):
    arm.is_told(valid_s=4)
    await_that(lambda: not arm.moves)
    assert not arm.arm.silent(), "it was the validity"
    arm.is_told(sequence=3)
    assert arm.moves, "it obeys what is valid"


def test_a_picture_older_than_the_arm_s_limit_leaves_it_still(arm: Watched):
    arm.is_told(age_s=241)
    assert not arm.moves


def test_a_replay_after_a_withdrawal_leaves_the_arm_still(arm: Watched):
    replayed = signed_event(arm.event())
    assert arm.robot.call(*replayed) == 204
    await_that(lambda: arm.moves)
    arm.is_told("withdrawn", 3)
    assert arm.robot.call(*replayed) == 204
    arm.is_told("withdrawn", 3)
    assert len(arm.received) == 3
    assert not arm.moves


def test_a_replay_past_the_process_leaves_the_arm_still(arm: Watched):
    """As a broker or a network may repeat a message: the process would not."""
    arm.is_told("reviewed")
    arm.is_told("withdrawn", 3)
    reviewed = arm.event("reviewed", 2)
    body, _ = signed_event(reviewed)
    arm.mqtt.publish(f"osteo/v1/{CLIENT}/jobs/{arm.job}/targets", body, qos=1)
    await_that(lambda: reviewed["id"] in arm.received)
    assert not arm.moves


def test_a_wrong_signature_leaves_the_arm_still(arm: Watched):
    body, headers = signed_event(arm.event("advisory"))
    ward = webhook_secret(SIGNING_KEY, "ward")
    assert arm.robot.call(body.replace(b"advisory", b"reviewed"), headers) == 401
    assert arm.robot.tell(arm.event(), secret=ward) == 401
    assert arm.robot.tell(arm.event(), sent_ago_s=301) == 401
    arm.is_told("advisory")
    assert not arm.moves


@pytest.mark.parametrize("ahead_s", [-5, 5])
def test_a_wrong_clock_of_the_arm_leaves_it_still(page: ModuleType, peers: Peers, ahead_s: float):
    with watched(page, peers.broker, peers.robot, lambda: time.time() + ahead_s) as arm:
        arm.is_told("reviewed")
        assert not arm.moves


@pytest.mark.parametrize("ahead_s", [-5, 5])
def test_a_wrong_clock_of_the_process_leaves_the_arm_still(
    moving_arm: Watched, service: Service, ahead_s: float
):
    service.ahead_s = ahead_s
    await_that(lambda: not moving_arm.moves)
    assert moving_arm.robot.tell(moving_arm.event(sequence=3)) == 429
    assert not moving_arm.moves


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_silence_of_the_process_leaves_the_arm_still(moving_arm: Watched, number: int):
    os.kill(moving_arm.robot.process.pid, number)
    await_that(lambda: not moving_arm.moves)


def test_silence_of_the_broker_leaves_the_arm_still(moving_arm: Watched, broker: Broker):
    broker.stop()
    await_that(lambda: not moving_arm.moves)


def test_what_was_told_before_a_silence_is_void_after_it(moving_arm: Watched):
    os.kill(moving_arm.robot.process.pid, signal.SIGSTOP)
    await_that(moving_arm.arm.silent)
    os.kill(moving_arm.robot.process.pid, signal.SIGCONT)
    await_that(lambda: not moving_arm.arm.silent())
    assert not moving_arm.moves
    moving_arm.is_told("reviewed", 3)
    assert moving_arm.moves


def test_a_retained_online_is_no_sign_of_life(page: ModuleType):
    arm = page.Arm(CLIENT, new_id("job"))
    arm.status(b"online", time.time(), retained=True)
    assert arm.silent()
    arm.status(b"online", time.time(), retained=False)
    assert not arm.silent()
