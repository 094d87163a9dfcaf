"""`python -m robot --ros`, with ROS 2 Jazzy's own clients in other processes, over loopback."""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from jobs.targets.freshness import moment_ns
from stack.part import ROOT
from tests.conftest import await_that
from tests.robot.events import an_event
from tests.robot.peers import Robot, Service, robot_process

PYTHON = ROOT / "var/peers/ros/bin/python"
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="NO TARGET WAS SENT BY ROS 2: `make var/peers/ros/installed` installs it"
)
needs_interfaces = pytest.mark.skipif(
    not (ROOT / "var/peers/ros/interfaces").exists(),
    reason="NO BOX WAS SENT BY ROS 2: `make var/peers/ros/interfaces` builds vision_msgs and tf2_msgs",
)
ENVIRONMENT = {
    "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    "ROS_DOMAIN_ID": str(43 + os.getpid() % 58),  # That of docs/robots.md is 42; 101 is the last.
    "ROS_LOG_DIR": "/tmp",
}
DIAGNOSTICS = "/diagnostics=diagnostic_msgs/DiagnosticArray"
TARGET = "/osteo/target=geometry_msgs/PoseWithCovarianceStamped"
RAYS = "/osteo/rays=visualization_msgs/Marker"
CAMERA = "/osteo/camera_info=sensor_msgs/CameraInfo"
DETECTIONS = "/osteo/detections=vision_msgs/Detection2DArray"
FRAMES = "/tf_static=tf2_msgs/TFMessage"


class Listener:
    """A node that has been subscribed in a process of its own: what it got, by topic."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.got: list[tuple[str, Any]] = []
        self._process = process
        Thread(target=self._read, daemon=True).start()

    def samples(self, topic: str) -> list[Any]:
        return [what for name, what in self.got if name == topic]

    def first(self, topic: str) -> Any:
        """Wait for the first sample of a topic."""
        await_that(lambda: self.samples(topic), lambda: self.got)
        return self.samples(topic)[0]

    def await_state(self, name: str, message: str, level: int) -> None:
        """Wait until the last diagnostics say this of `osteo: targets` or `osteo: robot`."""

        def told() -> bool:
            last = self.samples("/diagnostics")[-1:]
            statuses = [status for array in last for status in array["status"] if status["name"] == name]
            return [(status["message"], status["level"]) for status in statuses] == [(message, level)]

        await_that(told, lambda: self.samples("/diagnostics")[-1:])

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.got.append(tuple(json.loads(line)))


@contextlib.contextmanager
def listening(*topics: str, durability: str = "transient_local") -> Iterator[Listener]:
    command = [PYTHON, "tests/robot/ros_listener.py", durability, *topics]
    environment = {**os.environ, **ENVIRONMENT}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            listener = Listener(process)
            listener.first("ready")
            yield listener
        finally:
            process.kill()


@pytest.fixture
def robot(tmp_path: Path, service: Service) -> Iterator[Robot]:
    with robot_process(tmp_path, service.url, "--ros", environment=ENVIRONMENT, python=PYTHON) as made:
        yield made


def told(robot: Robot, **how: Any) -> dict[str, Any]:
    """Send events until one is taken, which takes until the clocks were compared. Return its document."""
    sent: list[dict[str, Any]] = []

    def taken() -> bool:
        sent.append(an_event(**how))
        return robot.tell(sent[-1]) == 204

    await_that(taken, robot.log.read_text)
    return dict(sent[-1]["data"])


def test_a_subscriber_gets_target_rays_and_camera(robot: Robot):
    with listening(TARGET, RAYS, CAMERA, DIAGNOSTICS, durability="volatile") as listener:
        listener.await_state("osteo: robot", "online", 0)
        document = told(robot)
        (expected,) = document["targets"]
        target = listener.first("/osteo/target")
        stamp = target["header"]["stamp"]
        assert stamp["sec"] * 10**9 + stamp["nanosec"] == moment_ns(document["acquired_at"])
        assert target["header"]["frame_id"] == document["frames"]["source"]
        assert target["pose"]["covariance"] == expected["covariance"]
        ends = [[point[axis] for axis in "xyz"] for point in listener.first("/osteo/rays")["points"]]
        ray = expected["ray"]
        assert ends == [pytest.approx([part * at for part in ray["direction"]]) for at in ray["depth_m"]]
        assert listener.first("/osteo/camera_info")["k"][0] == document["camera"]["fx_px"]
        listener.await_state("osteo: targets", "reviewed", 0)


@needs_interfaces
def test_a_subscriber_gets_the_boxes_and_the_frames(robot: Robot):
    with listening(DETECTIONS, FRAMES) as listener:
        document = told(robot)
        (expected,) = document["targets"]
        boxes = listener.first("/osteo/detections")
        (box,) = boxes["detections"]
        assert boxes["header"]["frame_id"] == document["frames"]["source"]
        x, y, width, height = expected["box_px"]
        assert box["bbox"]["center"]["position"] == {
            "x": x + width / 2 - 0.5,
            "y": y + height / 2 - 0.5,
        }, "ROS counts pixels from the centre of the first"
        assert (box["bbox"]["size_x"], box["bbox"]["size_y"], box["id"]) == (width, height, expected["id"])
        (result,) = box["results"]
        assert result["hypothesis"] == {"class_id": "125605004", "score": expected["score"]}
        assert result["pose"]["covariance"] == expected["covariance"]
        (frame,) = listener.first("/tf_static")["transforms"]
        assert frame["header"]["frame_id"] == document["frames"]["source"]
        assert frame["child_frame_id"] == document["frames"]["detector"]
        distance_m = document["camera"]["source_to_detector_m"]
        assert frame["transform"]["translation"] == {"x": 0.0, "y": 0.0, "z": distance_m}
        assert frame["transform"]["rotation"] == {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0}


@needs_interfaces
def test_a_subscriber_that_joins_late_gets_the_last_boxes_and_frames(robot: Robot):
    told(robot)
    last = told(robot)
    with listening(DETECTIONS, FRAMES) as listener:
        frame_id = last["frames"]["source"]
        assert listener.first("/osteo/detections")["header"]["frame_id"] == frame_id
        assert listener.first("/tf_static")["transforms"][0]["header"]["frame_id"] == frame_id
        told(robot, job=last["job"], sequence=3, state="withdrawn")
        await_that(lambda: len(listener.samples("/osteo/detections")) == 2)
        assert listener.samples("/osteo/detections")[1]["detections"] == []


def test_types_that_are_not_installed_are_named_and_the_others_are_sent(tmp_path: Path, service: Service):
    for package in ("vision_msgs", "tf2_msgs"):
        (tmp_path / f"{package}.py").write_text("raise ImportError")
    environment = {**ENVIRONMENT, "PYTHONPATH": str(tmp_path)}
    with (
        robot_process(tmp_path, service.url, "--ros", environment=environment, python=PYTHON) as robot,
        listening(RAYS) as listener,
    ):
        told(robot)
        told(robot)
        assert listener.first("/osteo/rays")
        named = sorted(line["message"] for line in robot.logged("is not published"))
        assert named == [
            "/tf_static is not published: tf2_msgs/msg/TFMessage is not installed",
            "~/detections is not published: vision_msgs/msg/Detection2DArray is not installed",
        ]


def test_rays_end_with_the_validity_of_an_event_that_comes_late(robot: Robot):
    with listening(RAYS) as listener:
        told(robot, state="advisory", ahead_s=-100, valid_s=240)
        assert 0 < listener.first("/osteo/rays")["lifetime"]["sec"] <= 240


def test_a_volatile_subscriber_misses_no_event_that_it_was_there_for(robot: Robot):
    with listening(CAMERA, DIAGNOSTICS, durability="volatile") as listener:
        listener.await_state("osteo: robot", "online", 0)  # It is found now.
        for count in range(1, 11):
            told(robot)
            await_that(lambda count=count: len(listener.samples("/osteo/camera_info")) == count)


def test_a_subscriber_that_joins_late_gets_the_last_event(robot: Robot):
    told(robot)
    with listening(TARGET, RAYS, CAMERA) as listener:
        for topic in ("/osteo/target", "/osteo/rays", "/osteo/camera_info"):
            assert listener.first(topic)


def gets_no_target(robot: Robot, state: str, level: int) -> None:
    """A late subscriber gets the state and other samples, and no target."""
    with listening(TARGET, DIAGNOSTICS) as listener:
        listener.await_state("osteo: targets", state, level)
        seen = len(listener.samples("/diagnostics"))
        await_that(lambda: len(listener.samples("/diagnostics")) > seen + 1)
        assert listener.samples("/osteo/target") == []


def test_a_subscriber_that_joins_after_the_validity_gets_no_target(robot: Robot):
    until_ns = moment_ns(told(robot, valid_s=4)["valid_until"])
    await_that(lambda: time.time_ns() > until_ns)
    gets_no_target(robot, "stale", 3)


def test_a_subscriber_that_joins_after_a_withdrawal_gets_no_target(robot: Robot):
    job = told(robot)["job"]
    told(robot, job=job, sequence=3, state="withdrawn")
    gets_no_target(robot, "withdrawn", 1)


def test_an_event_that_cannot_be_published_is_counted(robot: Robot):
    told(robot)
    dropped = 'osteo_robot_dropped_total{transport="ros"}'
    assert robot.metric(dropped) == 0
    event = an_event()
    event["data"]["camera"]["width_px"] = "wide"
    assert robot.tell(event) == 204
    await_that(lambda: robot.metric(dropped) == 1)
    assert robot.logged("an event is not published")


def test_the_end_of_the_process_is_told(robot: Robot):
    with listening(DIAGNOSTICS) as listener:
        listener.await_state("osteo: robot", "online", 0)
        robot.process.send_signal(signal.SIGTERM)
        listener.await_state("osteo: robot", "offline", 3)


def test_the_death_of_the_process_misses_the_deadline(robot: Robot):
    with listening(DIAGNOSTICS) as listener:
        listener.await_state("osteo: robot", "online", 0)
        missed = len(listener.samples("deadline"))
        robot.process.kill()
        await_that(lambda: len(listener.samples("deadline")) > missed)
