"""Defines the types of the targets of a job. OpenAPI, AsyncAPI and the JSON Schema are made from them."""

from typing import Annotated, Literal, TypedDict

from jobs.record.documents import MOMENT
from jobs.targets.states import BlockingReason, TargetState

_TWO = {"minItems": 2, "maxItems": 2}
_FOUR = {"minItems": 4, "maxItems": 4}
_COVARIANCE = {"minItems": 36, "maxItems": 36}
_THREE = {"minItems": 3, "maxItems": 3}
_MATRIX = {**_FOUR, "items": {"type": "array", **_FOUR, "items": {"type": "number"}}}
_UNIT = {"minimum": 0, "maximum": 1}


class Frames(TypedDict):
    """The names of the frames, all right-handed."""

    image: Annotated[
        str,
        "Pixels, continuous: (0, 0) is the upper left corner of the upper left pixel. ROS counts from that"
        " pixel's centre: subtract 0.5.",
    ]
    detector: Annotated[
        str,
        "Metres: origin in the image's centre, x along the columns, y down the rows, z away from the tube.",
    ]
    source: Annotated[str, "Metres: the same axes, origin in the focal spot."]
    patient: Annotated[
        str | None,
        "Metres: that of the sheet with lead tags on the patient: origin in the middle of its marker, x to"
        " its right, y to its top, z out of the sheet. null unless the radiograph gives one pose of a sheet.",
    ]


class CameraDocument(TypedDict):
    """Tube and detector as a pinhole camera."""

    fx_px: Annotated[
        float,
        "Negative where `mirrored`: x of the frames then runs against the columns, so that they stay"
        " right-handed.",
    ]
    fy_px: float
    cx_px: Annotated[float, "The principal point: the image's centre."]
    cy_px: float
    principal_sd_px: Annotated[list[float], _TWO, "Standard deviations of `cx_px` and `cy_px`."]
    source_to_detector_m: float
    source_to_detector_sd_m: float
    spacing_m: Annotated[list[float], _TWO, "On the detector, between columns and between rows."]
    mirrored: Annotated[bool, "Whether the picture shows the patient as seen from the detector."]
    width_px: int
    height_px: int


class Ray(TypedDict):
    """The ray from the focal spot through the middle of a box. What it shows lies somewhere in `depth_m`."""

    frame_id: Annotated[str, "The frame `source`, or `patient` within `in_patient`."]
    origin_m: Annotated[list[float], _THREE]
    direction: Annotated[list[float], _THREE, "Of length 1."]
    depth_m: Annotated[list[float], _TWO, "Nearest and farthest distance from the origin, along the ray."]


class PatientPlace(TypedDict):
    """A target in the frame `patient`."""

    ray: Ray
    point_m: Annotated[list[float] | None, _THREE, "`point_m` of the target, in this frame."]
    covariance: Annotated[
        list[float],
        _COVARIANCE,
        "As the target's, in this frame. Errors of the camera that move target and sheet alike are left out.",
    ]


class PatientRegistration(TypedDict):
    """Where the sheet on the patient lay when the radiograph was taken."""

    source_from_patient: Annotated[
        list[list[float]], _MATRIX, "4 x 4, row by row, in metres: from the frame `patient` to `source`."
    ]
    covariance: Annotated[
        list[float],
        _COVARIANCE,
        "6 x 6, row by row: of its position (m²) along the axes of `source`, and of small turns (rad²) about"
        " them.",
    ]
    reprojection_px: Annotated[
        float, "Root mean square distance of the tags' corners from those of the pose."
    ]
    registered_at: Annotated[str, MOMENT]


class Bone(TypedDict):
    """The part of the body, in SNOMED CT."""

    code: str
    meaning: str


class FractureClass(TypedDict):
    """What a target is, in SNOMED CT."""

    code: Literal["125605004"]
    meaning: Literal["Fracture of bone"]
    bone: Annotated[Bone | None, "As the source names the part of the body; null where it does not."]


_Class = TypedDict("_Class", {"class": FractureClass})


class PlaceDocument(TypedDict):
    """Where a target lies, as far as its geometry is known."""

    box_detector_m: Annotated[
        list[float] | None, _FOUR, "x, y (the least of each), width, height in the frame `detector`."
    ]
    ray: Ray | None
    point_m: Annotated[
        list[float] | None,
        _THREE,
        "x, y, z in the frame `source`, where two views or a calibrated plane give the depth.",
    ]
    point_from: Annotated[Literal["two_views", "calibrated_plane"] | None, "What gives `point_m` its depth."]
    residual_m: Annotated[float | None, "By how much the rays of two views miss each other."]
    seen_with: Annotated[str | None, "The job of the other one of two views."]
    covariance: Annotated[
        list[float] | None,
        _COVARIANCE,
        "6 x 6, row by row, of position (m²) and orientation (rad², 1e6: unknown) in the frame `source`,"
        " about `point_m`, or else the middle of `ray.depth_m`.",
    ]
    in_patient: Annotated[PatientPlace | None, "null where there is no frame `patient`."]


NO_PLACE: PlaceDocument = {
    "box_detector_m": None,
    "ray": None,
    "point_m": None,
    "point_from": None,
    "residual_m": None,
    "seen_with": None,
    "covariance": None,
    "in_patient": None,
}
"""The place of a target whose geometry is not known."""


class Target(_Class, PlaceDocument):
    """A place that the model takes for a fracture: a ray, and a point only where the depth is known."""

    id: Annotated[str, "The same in every answer and event."]
    score: Annotated[
        float | None, _UNIT, "Calibrated probability that a fracture lies here; null once the job is deleted."
    ]
    state: TargetState
    actionable: Annotated[
        bool,
        "True where the state is `reviewed` and nothing blocks. It says that data are valid, never `go`.",
    ]
    blocking_reasons: list[BlockingReason]
    box_px: Annotated[
        list[float] | None, _FOUR, "x, y, width, height in the frame `image`; null once the job is deleted."
    ]


class Provenance(TypedDict):
    """What the targets were made of."""

    image_sha256: str | None
    model_sha256: Annotated[str | None, "Of the weights."]
    reading: Annotated[str | None, "The id of the signed reading that decides."]
    jws: Annotated[str | None, "The signature of its report, a compact JWS. It has hashes and no words."]


class TargetsDocument(TypedDict):
    """The targets of a job. It has no motion: the robot's own safety controller alone acts."""

    job: str
    sequence: Annotated[int, {"minimum": 1}, "Grows with each event of the job. Drop what has a lower one."]
    state: TargetState
    actionable: Annotated[bool, "Whether any target is."]
    blocking_reasons: Annotated[list[BlockingReason], "Those of all targets."]
    acquired_at: Annotated[
        str | None,
        MOMENT,
        "When the picture was taken: the stamp of all data. In nanoseconds, as the next two.",
    ]
    produced_at: Annotated[str, MOMENT, "When this was made."]
    valid_until: Annotated[str | None, MOMENT, "`acquired_at` and `OSTEO_TARGET_SECONDS`."]
    frames: Frames
    registration: Annotated[
        PatientRegistration | None,
        "Of the frame `patient`; null where there is none. It makes nothing actionable.",
    ]
    camera: Annotated[CameraDocument | None, "null without a distance, a spacing and the handedness."]
    targets: list[Target]
    provenance: Provenance


MEDIA_TYPE = "application/vnd.osteo.targets+json"
"""The media type of the document; its parameter `version` is 1."""
CLOUDEVENTS = "application/cloudevents+json"
"""The media type of the event that has it."""
