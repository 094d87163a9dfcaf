"""Makes the JSON of a job for the API's answers and for callbacks, and defines its types.

The OpenAPI description is generated from these types. A text in `Annotated` describes a field.
"""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from jobs.record.events import JOB_EVENTS
from jobs.record.job import Job, moment_text
from jobs.record.states import Delivery, Priority, State

MOMENT = {"format": "date-time"}


class Region(TypedDict):
    """A part of the image that speaks for a fracture."""

    box: Annotated[
        list[int], {"minItems": 4, "maxItems": 4}, "x, y, width, height in pixels of the submitted image."
    ]
    score: Annotated[
        float,
        {"minimum": 0, "maximum": 1},
        "Calibrated probability that a fracture lies here: never above the image's `probability`.",
    ]
    box_mm: NotRequired[
        Annotated[
            list[float],
            {"minItems": 4, "maxItems": 4},
            "The same in millimetres from the image's upper left corner, where the source gives a pixel"
            " spacing; `image.spacing_plane` says where they apply.",
        ]
    ]


class BodyPart(TypedDict):
    """What DICOM names as examined, where it is a bone or a region of bones."""

    term: Annotated[str, "DICOM's Body Part Examined, such as FOREARM."]
    snomed: Annotated[str, "The same in SNOMED CT."]
    meaning: str


class Model(TypedDict):
    """The model that has looked at the image."""

    name: str
    version: str
    sha256: Annotated[str, "Of the weights."]
    bundle: NotRequired[Annotated[str, "SHA-256 of the whole bundle: weights, calibration and thresholds."]]
    instead_of: NotRequired[
        Annotated[
            str,
            "The bundle that the job was assigned to when it was accepted, and that did not answer: it has"
            " been withdrawn since, or could not be loaded.",
        ]
    ]


class Image(TypedDict):
    """The submitted image; sizes in pixels. How it was taken, where a DICOM source says so."""

    sha256: str
    width: int
    height: int
    format: Literal["PNG", "JPEG", "TIFF", "BMP", "WEBP", "DICOM"]
    body_part: NotRequired[BodyPart]
    laterality: NotRequired[Literal["L", "R", "B"]]
    view: NotRequired[
        Annotated[
            Literal["AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO"],
            "DICOM's View Position.",
        ]
    ]
    orientation: NotRequired[
        Annotated[
            list[str],
            {"minItems": 2, "maxItems": 2},
            "Where rows and columns run to in the patient: of A, P, R, L, H, F.",
        ]
    ]
    pixel_spacing: NotRequired[
        Annotated[
            list[float], {"minItems": 2, "maxItems": 2}, "Millimetres between rows, and between columns."
        ]
    ]
    spacing_plane: NotRequired[
        Annotated[
            Literal["calibrated", "detector", "unstated"],
            "Where `pixel_spacing` applies: in the patient, on the detector (which shows all larger), or"
            " unstated.",
        ]
    ]


class ResultWarning(TypedDict):
    """What makes an answer less reliable. The job succeeded all the same."""

    type: Annotated[
        str,
        {
            "enum": [
                "unusual-image",
                "display-setting-ignored",
                "small-image",
                "low-contrast",
                "clipped",
                "cut-off",
            ]
        },
    ]
    detail: Annotated[str, "A sentence for a person: what is wrong, and what to do."]


class OperatingPoints(TypedDict):
    """The thresholds on `probability` between which the finding is `indeterminate`."""

    low: Annotated[float, {"minimum": 0, "maximum": 1}, "Below it the finding is `no_fracture`."]
    high: Annotated[float, {"minimum": 0, "maximum": 1}, "From it on the finding is `fracture`."]


class Result(TypedDict):
    """The prediction of the model."""

    finding: Literal["fracture", "no_fracture", "indeterminate"]
    probability: Annotated[float, {"minimum": 0, "maximum": 1}, "Calibrated probability of a fracture."]
    regions: list[Region]
    field: NotRequired[
        Annotated[
            list[int],
            {"minItems": 4, "maxItems": 4},
            "The exposed field that the model looked at: x, y, width, height in pixels of the submitted"
            " image.",
        ]
    ]
    warnings: NotRequired[list[ResultWarning]]
    operating_points: NotRequired[
        Annotated[
            OperatingPoints,
            "Those of the model that answered; `GET /v1/model` says what they mean.",
        ]
    ]
    model: Model
    image: Image


class JobError(TypedDict):
    """Why a job has no result; its type, too, has a page at `/problems/<type>`."""

    type: str
    detail: str


class EventDataDocument(TypedDict):
    """The job as a callback has it: without its metadata, which may hold anything."""

    id: str
    state: State
    delivery: Annotated[Delivery, "Where the callback stands."]
    own_id: Annotated[str | None, "The id of your own that it was submitted under by PUT."]
    reference: Annotated[str | None, "The client's own, as submitted."]
    priority: Priority
    created_at: Annotated[str, MOMENT]
    expires_at: Annotated[str | None, MOMENT, "A job that still waits for a worker then ends `expired`."]
    retention_seconds: Annotated[int | None, "For how long it is kept after its end; null keeps it."]
    started_at: Annotated[str | None, MOMENT]
    finished_at: Annotated[str | None, MOMENT]
    attempts: int
    queue_position: Annotated[int | None, "Jobs that go before this one while it is queued."]
    error: JobError | None
    result: Result | None
    links: dict[str, str]


class JobDocument(EventDataDocument):
    """The job."""

    metadata: Annotated[dict[str, Any] | None, "The client's own, as submitted."]


class Event(TypedDict):
    """The body of a callback."""

    type: Annotated[str, {"enum": list(JOB_EVENTS)}]
    timestamp: Annotated[str, MOMENT]
    data: EventDataDocument


class DeliveryAttempt(TypedDict):
    """One call of a receiver, and its outcome."""

    webhook_id: str
    attempt: int
    at: Annotated[str, MOMENT]
    status: Annotated[int | None, "The receiver's HTTP status; null where it did not answer."]
    duration_ms: int
    answer: Annotated[str, "The first 1024 bytes of the answer's body."]
    error: Annotated[str | None, "Why there is no status."]


def document(job: Job, base_url: str, queue_position: int | None = None) -> JobDocument:
    """Return the public JSON of `job`, with links below `base_url`."""
    return {
        "id": job.id,
        "state": job.state,
        "delivery": job.delivery,
        "own_id": job.own_id,
        "reference": job.reference,
        "metadata": job.metadata,
        "priority": job.priority,
        "created_at": moment_text(job.created_at),
        "expires_at": _text(job.expires_at),
        "retention_seconds": job.retention_seconds,
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
        "attempts": job.attempts,
        "queue_position": queue_position,
        "error": cast(JobError | None, job.error),
        "result": cast(Result | None, job.result),
        "links": links_of(job, base_url),
    }


def links_of(job: Job, base_url: str) -> dict[str, str]:
    """Return the links to the job and to what belongs to it, below `base_url`."""
    here = f"{base_url}/v1/jobs/{job.id}"
    links = {"self": here, "image": f"{here}/image"}
    if job.state is State.SUCCEEDED:
        links |= {"result": f"{here}/result", "heatmap": f"{here}/heatmap"}
    if job.study:
        links["study"] = f"{base_url}/v1/studies/{job.study}"
    return links


def _text(moment: datetime | None) -> str | None:
    return moment_text(moment) if moment else None
