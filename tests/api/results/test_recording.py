"""The MCAP file of a job's targets over HTTP, read by two readers that are not its writer's."""

import io
import json
from typing import Any

import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory

from api.http.problem import Problem
from api.identity.key_store import Keys
from api.results import recording
from jobs.record.job import Job
from jobs.targets.freshness import moment_ns
from tests import pictures
from tests.api.conftest import Api, problem_of
from tests.api.routes.test_targets import CALIBRATED, acquired, ended, signed_by_a_reader
from tests.ros_types import typestore

HEADERS = {"Accept": "application/x-mcap"}
KINDS = {
    "/osteo/detections": "vision_msgs/msg/Detection2DArray",
    "/osteo/target": "geometry_msgs/msg/PoseWithCovarianceStamped",
    "/osteo/rays": "visualization_msgs/msg/Marker",
    "/osteo/camera_info": "sensor_msgs/msg/CameraInfo",
    "/tf_static": "tf2_msgs/msg/TFMessage",
    "/diagnostics": "diagnostic_msgs/msg/DiagnosticArray",
}


def recorded(api: Api, job: Job) -> bytes:
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets", headers=HEADERS)
    assert answer.status == 200, answer.data
    assert answer.headers["Content-Type"] == "application/x-mcap"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{job.id}.mcap"'
    assert "Accept" in answer.headers["Vary"]
    return bytes(answer.data)


def decoded(file: bytes) -> dict[str, Any]:
    """The messages by topic, as mcap-ros2-support reads them; each topic has one."""
    reader = make_reader(io.BytesIO(file), decoder_factories=[DecoderFactory()], validate_crcs=True)
    messages = [(channel.topic, message) for _, channel, _, message in reader.iter_decoded_messages()]
    assert len(messages) == len(dict(messages))
    return dict(messages)


def by_rosbags(file: bytes) -> dict[str, Any]:
    """The same as rosbags reads them, by its own definitions of the types."""
    types = typestore()
    return {
        channel.topic: types.deserialize_cdr(message.data, schema.name)
        for schema, channel, message in make_reader(io.BytesIO(file)).iter_messages()
        if schema
    }


def attached(file: bytes) -> dict[str, Any]:
    """The JSON that the file holds."""
    (attachment,) = make_reader(io.BytesIO(file)).iter_attachments()
    assert (attachment.name, attachment.media_type) == (
        "targets.json",
        "application/vnd.osteo.targets+json; version=1",
    )
    return dict(json.loads(attachment.data))


@pytest.fixture
def job(api: Api) -> Job:
    """A job whose target is actionable."""
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed_by_a_reader(api, job)
    return job


@pytest.mark.parametrize("read", [decoded, by_rosbags])
def test_a_recording_has_the_targets_with_the_stamp_of_acquisition(api: Api, job: Job, read: Any):
    file = recorded(api, job)
    made, messages = attached(file), read(file)
    (target,) = made["targets"]
    assert set(messages) == set(KINDS)
    acquired_ns = moment_ns(made["acquired_at"])
    for topic in ("/osteo/detections", "/osteo/target", "/osteo/rays", "/osteo/camera_info"):
        header = messages[topic].header
        assert header.stamp.sec * 10**9 + header.stamp.nanosec == acquired_ns
        assert header.frame_id == made["frames"]["source"]
    (detection,) = messages["/osteo/detections"].detections
    (result,) = detection.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("125605004", target["score"])
    centre = detection.bbox.center.position
    assert (centre.x, centre.y, detection.bbox.size_x, detection.bbox.size_y) == (69.5, 37.5, 20, 16)
    assert detection.id == target["id"]
    assert list(messages["/osteo/target"].pose.covariance) == target["covariance"]
    assert list(result.pose.covariance) == target["covariance"]


@pytest.mark.parametrize("read", [decoded, by_rosbags])
def test_a_recording_has_rays_camera_frames_and_state(api: Api, job: Job, read: Any):
    file = recorded(api, job)
    made, messages = attached(file), read(file)
    ray = made["targets"][0]["ray"]
    marker = messages["/osteo/rays"]
    ends = [[point.x, point.y, point.z] for point in marker.points]
    assert ends == [pytest.approx([part * depth for part in ray["direction"]]) for depth in ray["depth_m"]]
    left_ns = moment_ns(made["valid_until"]) - moment_ns(made["produced_at"])
    assert marker.lifetime.sec * 10**9 + marker.lifetime.nanosec == left_ns
    camera = messages["/osteo/camera_info"]
    assert list(camera.k) == pytest.approx([10_000, 0, 63.5, 0, 5_000, 47.5, 0, 0, 1])
    (transform,) = messages["/tf_static"].transforms
    assert transform.header.frame_id == made["frames"]["source"]
    assert transform.child_frame_id == made["frames"]["detector"]
    assert transform.transform.translation.z == 1.0
    (status,) = messages["/diagnostics"].status
    assert (status.level, status.message, status.hardware_id) == (0, "reviewed", job.id)


def test_a_target_that_is_not_actionable_is_no_pose(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    messages = decoded(recorded(api, job))
    assert "/osteo/target" not in messages
    assert len(messages["/osteo/detections"].detections) == 1
    (status,) = messages["/diagnostics"].status
    assert (status.level, status.message) == (1, "advisory")
    assert {value.key: value.value for value in status.values}["blocking_reasons"] == "not_reviewed"


def test_a_rejected_target_is_in_the_json_alone(api: Api):
    job = ended(api, pictures.dicom(pictures.gray(), **CALIBRATED, **acquired()))
    signed_by_a_reader(api, job, "no_fracture", ())
    file = recorded(api, job)
    messages = decoded(file)
    assert messages["/osteo/detections"].detections == []
    assert (messages["/osteo/rays"].action, messages["/osteo/rays"].points) == (2, [])
    assert attached(file)["targets"][0]["state"] == "rejected"


def test_a_picture_without_geometry_gives_boxes_alone(api: Api):
    messages = decoded(recorded(api, ended(api, pictures.encoded(pictures.gray()))))
    assert set(messages) == {"/osteo/detections", "/osteo/rays", "/diagnostics"}
    assert messages["/osteo/detections"].header.stamp.sec == 0


def test_a_recording_has_the_present_state_and_a_tag_of_its_own(api: Api, job: Job):
    made, path = attached(recorded(api, job)), f"/v1/jobs/{job.id}/targets"
    as_json = api.request("GET", path)
    assert {**as_json.json(), "produced_at": ""} == {**made, "produced_at": ""}
    tag = api.request("GET", path, headers=HEADERS).headers["ETag"]
    assert tag != as_json.headers["ETag"]
    assert api.request("GET", path, headers={**HEADERS, "If-None-Match": tag}).status == 304


@pytest.mark.parametrize(("accept", "status"), [("application/json", 200), ("*/*", 200), ("image/png", 406)])
def test_targets_are_json_unless_a_recording_is_asked_for(api: Api, job: Job, accept: str, status: int):
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets", headers={"Accept": accept})
    assert answer.status == status
    if status == 200:
        assert answer.json()["job"] == job.id


def test_another_client_gets_no_recording(api: Api, job: Job):
    other = Keys(api.records).create("another")
    answer = api.request("GET", f"/v1/jobs/{job.id}/targets", key=other, headers=HEADERS)
    assert problem_of(answer)["type"] == "/problems/no-such-job"


def test_without_mcap_a_request_for_a_recording_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(recording, "find_spec", lambda name: None)
    with pytest.raises(Problem, match="without mcap-ros2-support") as refusal:
        recording.recording_of({})  # type: ignore[typeddict-item]
    assert refusal.value.status == 406


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_definitions_are_those_that_rosbags_has(kind: str):
    file = recording.DEFINITIONS / f"{kind.rpartition('/')[2]}.msg"
    generated, _ = typestore().generate_msgdef(kind, ros_version=2)
    assert file.read_text().strip() == generated.strip()
