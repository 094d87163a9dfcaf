"""Makes the ROS 2 messages of a targets document, as nested fields: for robots and for recordings.

Frames and units of the document are those of REP 103. ROS counts pixels from the centre of the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.geometry.directions import quaternion_of
from jobs.targets.documents import CameraDocument, Target, TargetsDocument
from jobs.targets.freshness import moment_ns
from jobs.targets.states import TargetState

_NANO = 10**9
_END_NS = 2**31 * _NANO
"""A time of ROS has 32 bits of seconds."""
_LINE_LIST, _ADD, _DELETE = 5, 0, 2
LEVEL_OK, LEVEL_WARN, LEVEL_STALE = 0, 1, 3
"""Levels of a DiagnosticStatus."""
_LINE_M = 0.001
_GREEN, _AMBER = (0.0, 0.8, 0.2, 1.0), (1.0, 0.75, 0.0, 1.0)
_PIXEL_CENTRE = 0.5
_NOT_SHOWN = (TargetState.REJECTED, TargetState.WITHDRAWN)
DIAGNOSTICS = "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray"
"""Topic and type of the state."""


@dataclass(frozen=True)
class RosMessage:
    """A message: its topic, which is relative unless it begins with /, its type, and its fields.

    What `fields` leaves out has the default of its type.
    """

    topic: str
    kind: str
    fields: dict[str, Any]

    def topic_of(self, node: str) -> str:
        """Return the topic as a node publishes it, of which `node` is the prefix."""
        return self.topic if self.topic.startswith("/") else f"{node}/{self.topic}"


def ros_messages(document: TargetsDocument, left_ns: int) -> list[RosMessage]:
    """Return the messages of a document. Their stamp is that of the acquisition; 0 where it is unknown.

    `left_ns` is for how long the document is still valid: the lifetime of its rays, which are deleted at 0.
    `target` is there only while a target is actionable, with the likeliest of these; the camera and the
    frames, only where the geometry is known.
    """
    acquired = document["acquired_at"]
    header = {
        "stamp": ros_time(moment_ns(acquired) if acquired else 0),
        "frame_id": document["frames"]["source"],
    }
    shown = [target for target in document["targets"] if target["state"] not in _NOT_SHOWN]
    messages = [
        RosMessage("detections", "vision_msgs/msg/Detection2DArray", _detections(header, shown)),
        RosMessage("rays", "visualization_msgs/msg/Marker", _rays(header, shown, left_ns)),
        RosMessage(*DIAGNOSTICS, _diagnostics(document)),
    ]
    actionable = [target for target in document["targets"] if target["actionable"] and target["ray"]]
    if actionable:
        pose = _pose(max(actionable, key=lambda target: target["score"] or 0.0))
        kind = "geometry_msgs/msg/PoseWithCovarianceStamped"
        messages.append(RosMessage("target", kind, {"header": header, "pose": pose}))
    if camera := document["camera"]:
        to_source = [_transform(header, document["frames"]["detector"], camera["source_to_detector_m"])]
        if (registration := document.get("registration")) and (patient := document["frames"]["patient"]):
            to_source.append(_pose_transform(header, patient, registration["source_from_patient"]))
        messages += [
            RosMessage("camera_info", "sensor_msgs/msg/CameraInfo", _camera_info(header, camera)),
            RosMessage("/tf_static", "tf2_msgs/msg/TFMessage", {"transforms": to_source}),
        ]
    return messages


def ros_time(moment: int) -> dict[str, int]:
    """Return nanoseconds since 1970 as the fields of a `builtin_interfaces/Time`: 0 from 2038 on."""
    seconds, nanoseconds = divmod(moment if moment < _END_NS else 0, _NANO)
    return {"sec": seconds, "nanosec": nanoseconds}


def left_ns_of(document: TargetsDocument) -> int:
    """Return for how long a document was valid when it was made: 0 where it was not."""
    until = document["valid_until"]
    return max(0, moment_ns(until) - moment_ns(document["produced_at"])) if until else 0


def _point(xyz: Iterable[float]) -> dict[str, float]:
    return dict(zip("xyz", xyz, strict=True))


def _along(target: Target, depth_m: float) -> list[float]:
    assert target["ray"]
    return [part * depth_m for part in target["ray"]["direction"]]


def _pose(target: Target) -> dict[str, Any]:
    """Return the pose with covariance of a target: of its point, or else of the middle of its ray."""
    if not target["ray"]:
        return {}
    middle_m = _along(target, sum(target["ray"]["depth_m"]) / 2)
    return {
        "pose": {"position": _point(target["point_m"] or middle_m), "orientation": {"w": 1.0}},
        "covariance": target["covariance"],
    }


def _detections(header: dict[str, Any], targets: list[Target]) -> dict[str, Any]:
    detections = []
    for target in targets:
        if target["box_px"] is None:
            continue
        x, y, width, height = target["box_px"]
        centre = {"x": x + width / 2 - _PIXEL_CENTRE, "y": y + height / 2 - _PIXEL_CENTRE}
        hypothesis = {"class_id": target["class"]["code"], "score": target["score"]}
        detections.append(
            {
                "header": header,
                "results": [{"hypothesis": hypothesis, "pose": _pose(target)}],
                "bbox": {"center": {"position": centre}, "size_x": width, "size_y": height},
                "id": target["id"],
            }
        )
    return {"header": header, "detections": detections}


def _rays(header: dict[str, Any], targets: list[Target], left_ns: int) -> dict[str, Any]:
    """Return a line for each ray, green where it is actionable; a deletion where no ray is valid."""
    valid = [target for target in targets if target["ray"]] if left_ns else []
    marker = {"header": header, "ns": "rays", "type": _LINE_LIST, "pose": {"orientation": {"w": 1.0}}}
    if not valid:
        return marker | {"action": _DELETE}
    points, colors = [], []
    for target in valid:
        assert target["ray"]
        color = dict(zip("rgba", _GREEN if target["actionable"] else _AMBER, strict=True))
        points += [_point(_along(target, depth_m)) for depth_m in target["ray"]["depth_m"]]
        colors += [color, color]
    return marker | {
        "action": _ADD,
        "scale": {"x": _LINE_M},
        "lifetime": ros_time(left_ns),
        "points": points,
        "colors": colors,
    }


def _camera_info(header: dict[str, Any], camera: CameraDocument) -> dict[str, Any]:
    fx, fy = camera["fx_px"], camera["fy_px"]
    cx, cy = camera["cx_px"] - _PIXEL_CENTRE, camera["cy_px"] - _PIXEL_CENTRE
    return {
        "header": header,
        "height": camera["height_px"],
        "width": camera["width_px"],
        "distortion_model": "plumb_bob",
        "d": [0.0] * 5,
        "k": [fx, 0.0, cx, 0.0, fy, cy, 0.0, 0.0, 1.0],
        "r": [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        "p": [fx, 0.0, cx, 0.0, 0.0, fy, cy, 0.0, 0.0, 0.0, 1.0, 0.0],
    }


def _transform(header: dict[str, Any], child: str, distance_m: float) -> dict[str, Any]:
    to_source = {"translation": _point((0.0, 0.0, distance_m)), "rotation": {"w": 1.0}}
    return {"header": header, "child_frame_id": child, "transform": to_source}


def _pose_transform(header: dict[str, Any], child: str, matrix: list[list[float]]) -> dict[str, Any]:
    """Return a frame `child` at a pose: its translation, and its rotation as a quaternion."""
    moved = {
        "translation": _point(row[3] for row in matrix[:3]),
        "rotation": dict(zip("xyzw", quaternion_of(np.array(matrix)[:3, :3]), strict=True)),
    }
    return {"header": header, "child_frame_id": child, "transform": moved}


def _diagnostics(document: TargetsDocument) -> dict[str, Any]:
    bad = LEVEL_STALE if document["state"] == TargetState.STALE else LEVEL_WARN
    told = {
        "job": document["job"],
        "sequence": str(document["sequence"]),
        "actionable": str(document["actionable"]).lower(),
        "blocking_reasons": " ".join(document["blocking_reasons"]),
        "valid_until": document["valid_until"] or "",
        **{name: value or "" for name, value in document["provenance"].items() if name != "jws"},
    }
    status = {
        "level": LEVEL_OK if document["actionable"] else bad,
        "name": "osteo: targets",
        "message": document["state"],
        "hardware_id": document["job"],
        "values": [{"key": key, "value": value} for key, value in told.items()],
    }
    return {"header": {"stamp": ros_time(moment_ns(document["produced_at"]))}, "status": [status]}
