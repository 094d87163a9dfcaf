"""Gives an example of each main answer and of each callback, for the description of the API."""

from collections.abc import Mapping
from typing import Any

from api.http.problem import ProblemDocument
from jobs.reading.events import ReadingEvent
from jobs.reading.states import ReadingState
from jobs.record.documents import Event, EventDataDocument, JobDocument, JobError, Result
from jobs.record.events import READING_EVENTS, TARGETS_EVENT
from jobs.record.states import Delivery, Priority, State
from jobs.record.study import StudyDocument, StudyEvent
from jobs.targets.documents import TargetsDocument
from jobs.targets.events import TargetsEvent
from jobs.targets.states import BlockingReason, TargetState

_URL = "https://osteo.example"
_JOB = "job_01KA3M7ZQ4X8W2N5T6R9Y0B1CD"  # pragma: allowlist secret
_STUDY = "study_01KA3M7ZQ4X8W2N5T6R9Y0B1CE"  # pragma: allowlist secret
_CREATED, _STARTED, _FINISHED = "2026-11-23T12:00:00Z", "2026-11-23T12:00:01Z", "2026-11-23T12:00:02Z"
_RESULT: Result = {
    "finding": "fracture",
    "probability": 0.91,
    "regions": [{"box": [412, 655, 180, 143], "score": 0.84}],
    "operating_points": {"low": 0.05, "high": 0.41},
    "model": {"name": "osteo", "version": "1.0.0", "sha256": "9f2c" * 16},
    "image": {"sha256": "4b1d" * 16, "width": 1024, "height": 1280, "format": "PNG"},
}


_TARGETS: TargetsDocument = {
    "job": _JOB,
    "sequence": 1,
    "state": TargetState.ADVISORY,
    "actionable": False,
    "blocking_reasons": [BlockingReason.NOT_REVIEWED],
    "acquired_at": "2026-11-23T11:59:40.000000000Z",
    "produced_at": "2026-11-23T12:00:02.250000000Z",
    "valid_until": "2026-11-23T12:04:40.000000000Z",
    "frames": {
        "image": f"osteo/{_JOB}/image",
        "detector": f"osteo/{_JOB}/detector",
        "source": f"osteo/{_JOB}/source",
        "patient": None,
    },
    "registration": None,
    "camera": {
        "fx_px": 7500.0,
        "fy_px": 7500.0,
        "cx_px": 512.0,
        "cy_px": 640.0,
        "principal_sd_px": [10.24, 12.8],
        "source_to_detector_m": 1.05,
        "source_to_detector_sd_m": 0.0121,
        "spacing_m": [0.00014, 0.00014],
        "mirrored": False,
        "width_px": 1024,
        "height_px": 1280,
    },
    "targets": [
        {
            "id": "target_01KA3M7ZQ4X8W2N5T6R9Y0B1CG",  # pragma: allowlist secret
            "class": {
                "code": "125605004",
                "meaning": "Fracture of bone",
                "bone": {"code": "8205005", "meaning": "Wrist region structure"},
            },
            "score": 0.84,
            "state": TargetState.ADVISORY,
            "actionable": False,
            "blocking_reasons": [BlockingReason.NOT_REVIEWED],
            "box_px": [412.0, 655.0, 180.0, 143.0],
            "box_detector_m": [-0.014, 0.0021, 0.0252, 0.02002],
            "ray": {
                "frame_id": f"osteo/{_JOB}/source",
                "origin_m": [0.0, 0.0, 0.0],
                "direction": [-0.001333243, 0.011532556, 0.999932609],
                "depth_m": [0.200013, 1.050071],
            },
            "point_m": None,
            "point_from": None,
            "residual_m": None,
            "seen_with": None,
            "covariance": [
                *(1.96e-05, -9.27e-07, -8.03e-05, 0.0, 0.0, 0.0),
                *(-9.27e-07, 2.1e-05, 0.000694, 0.0, 0.0, 0.0),
                *(-8.03e-05, 0.000694, 0.0602, 0.0, 0.0, 0.0),
                *(0.0, 0.0, 0.0, 1000000.0, 0.0, 0.0),
                *(0.0, 0.0, 0.0, 0.0, 1000000.0, 0.0),
                *(0.0, 0.0, 0.0, 0.0, 0.0, 1000000.0),
            ],
            "in_patient": None,
        }
    ],
    "provenance": {
        "image_sha256": "4b1d" * 16,
        "model_sha256": "9f2c" * 16,
        "reading": None,
        "jws": None,
    },
}
_TARGETS_EVENT: TargetsEvent = {
    "specversion": "1.0",
    "id": "msg_event_01KA3M7ZQ4X8W2N5T6R9Y0B1CH",  # pragma: allowlist secret
    "source": _URL,
    "subject": _JOB,
    "type": TARGETS_EVENT,
    "time": "2026-11-23T12:00:02.250000000Z",
    "datacontenttype": "application/vnd.osteo.targets+json; version=1",
    "dataschema": f"{_URL}/schemas/targets-1.json",
    "data": _TARGETS,
}


def _links(*names: str) -> dict[str, str]:
    return {"self": f"{_URL}/v1/jobs/{_JOB}"} | {name: f"{_URL}/v1/jobs/{_JOB}/{name}" for name in names}


_SUCCEEDED: EventDataDocument = {
    "id": _JOB,
    "state": State.SUCCEEDED,
    "delivery": Delivery.PENDING,
    "own_id": None,
    "reference": "wrist-4711",
    "priority": Priority.ROUTINE,
    "created_at": _CREATED,
    "expires_at": "2026-11-24T12:00:00Z",
    "retention_seconds": 604800,
    "started_at": _STARTED,
    "finished_at": _FINISHED,
    "attempts": 1,
    "queue_position": None,
    "error": None,
    "result": _RESULT,
    "links": _links("image", "result", "heatmap"),
}
_READING = "reading_01KA3M7ZQ4X8W2N5T6R9Y0B1CF"  # pragma: allowlist secret
_JOB_DOCUMENT: JobDocument = {**_SUCCEEDED, "delivery": Delivery.DELIVERED, "metadata": {"ward": "A3"}}
_STUDY_DOCUMENT: StudyDocument = {
    "id": _STUDY,
    "state": "succeeded",
    "delivery": Delivery.PENDING,
    "reference": "wrist-4711",
    "created_at": _CREATED,
    "finished_at": _FINISHED,
    "summary": {"finding": "fracture", "probability": 0.91, "job": _JOB},
    "jobs": [
        {
            "id": _JOB,
            "state": State.SUCCEEDED,
            "result": _RESULT,
            "error": None,
            "links": _links("image", "result", "heatmap") | {"study": f"{_URL}/v1/studies/{_STUDY}"},
        }
    ],
    "links": {"self": f"{_URL}/v1/studies/{_STUDY}"},
}
_PROBLEM: ProblemDocument = {
    "type": "/problems/not-ready",
    "title": "Conflict",
    "status": 409,
    "detail": "The job is running; its result is not there yet. Ask again later.",
    "request_id": "req_5f0c1d2e3a4b5c6d7e8f9a0b1c2d3e4f",
}
SCHEMA_EXAMPLES: Mapping[str, Any] = {"Job": _JOB_DOCUMENT, "Study": _STUDY_DOCUMENT, "Problem": _PROBLEM}
"""An example of each main answer, by the name of its schema."""


def _job_event(name: str, state: State, error: JobError) -> Event:
    data = _SUCCEEDED | {"state": state, "error": error, "result": None, "links": _links("image")}
    if state is not State.FAILED:
        data |= {"started_at": None, "attempts": 0}
    return {"type": name, "timestamp": _FINISHED, "data": data}


def _reading_event(name: str) -> ReadingEvent:
    state = ReadingState.REQUESTED if name == "reading.overdue" else ReadingState(name.partition(".")[2])
    links = {"self": f"{_URL}/v1/readings/{_READING}", "job": f"{_URL}/v1/jobs/{_JOB}"}
    return {
        "type": name,
        "timestamp": _FINISHED,
        "data": {
            "id": _READING,
            "job": _JOB,
            "state": state,
            "due_at": "2026-11-23T13:00:00Z",
            "links": links | {"page": f"{_URL}/read/{_JOB}"},
        },
    }


def _failed_study() -> StudyDocument:
    (view,) = _STUDY_DOCUMENT["jobs"]
    links = {name: url for name, url in view["links"].items() if name not in ("result", "heatmap")}
    failed = view | {"state": State.FAILED, "result": None, "error": _UNREADABLE, "links": links}
    return _STUDY_DOCUMENT | {"state": "failed", "summary": None, "jobs": [failed]}


_UNREADABLE: JobError = {
    "type": "unreadable-image",
    "detail": "The image could not be read when it was analysed.",
}
_EXPIRED: JobError = {"type": "expired", "detail": "No worker took this job up before its deadline."}
_CANCELED: JobError = {"type": "canceled", "detail": "This job was canceled."}
EVENT_EXAMPLES: Mapping[str, Event | StudyEvent | ReadingEvent | TargetsEvent] = {
    "job.succeeded": {"type": "job.succeeded", "timestamp": _FINISHED, "data": _SUCCEEDED},
    "job.failed": _job_event("job.failed", State.FAILED, _UNREADABLE),
    "job.expired": _job_event("job.expired", State.EXPIRED, _EXPIRED),
    "job.canceled": _job_event("job.canceled", State.CANCELED, _CANCELED),
    "study.succeeded": {"type": "study.succeeded", "timestamp": _FINISHED, "data": _STUDY_DOCUMENT},
    **{name: _reading_event(name) for name in READING_EVENTS},
    "study.failed": {"type": "study.failed", "timestamp": _FINISHED, "data": _failed_study()},
    TARGETS_EVENT: _TARGETS_EVENT,
}
"""An example of the callback of each event."""
