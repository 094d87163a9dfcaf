"""Reads a job and its result from every answer and every callback."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

State = Literal["queued", "running", "succeeded", "failed", "canceled", "expired"]
Delivery = Literal["none", "pending", "delivered", "failed", "disabled"]
Finding = Literal["fracture", "no_fracture", "indeterminate"]
Priority = Literal["stat", "routine", "archive"]


@dataclass(frozen=True)
class Region:
    """Where the model sees a fracture."""

    box: tuple[int, int, int, int]
    """x, y, width and height, in pixels of the submitted image."""
    score: float


@dataclass(frozen=True)
class ResultWarning:
    """What makes an answer less reliable, such as `unusual-image`; `detail` is a sentence for a person."""

    type: str
    detail: str


@dataclass(frozen=True)
class Result:
    """What the model made of a radiograph."""

    finding: Finding
    """`indeterminate` lies between the model's two thresholds."""
    probability: float
    """Of a fracture, calibrated, from 0 to 1."""
    regions: tuple[Region, ...]
    warnings: tuple[ResultWarning, ...]
    """What makes the answer less reliable."""
    model: str
    """Name and version."""
    document: dict[str, Any] = field(repr=False)
    """The service's whole document."""

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        return cls(
            finding=document["finding"],
            probability=document["probability"],
            regions=tuple(Region(tuple(r["box"]), r["score"]) for r in document["regions"]),
            warnings=tuple(ResultWarning(w["type"], w["detail"]) for w in document.get("warnings", ())),
            model=f"{document['model']['name']} {document['model']['version']}",
            document=document,
        )


@dataclass(frozen=True)
class JobError:
    """Why a job has no result."""

    type: str
    """Such as `not-a-radiograph`."""
    detail: str


@dataclass(frozen=True)
class Job:
    """A radiograph's way through the service, as it was when last asked."""

    id: str
    state: State
    delivery: Delivery
    """How the delivery of the callback stands."""
    reference: str | None
    own_id: str | None
    """The id of your own that it was submitted under."""
    metadata: dict[str, Any] | None
    """As submitted; None in a callback, which does not carry it."""
    priority: Priority
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    attempts: int
    queue_position: int | None
    error: JobError | None
    result: Result | None
    document: dict[str, Any] = field(repr=False)
    """The service's whole document, with fields that are newer than this client."""

    @property
    def ended(self) -> bool:
        """Whether the analysis has ended, one way or the other."""
        return self.state not in ("queued", "running")

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        error, result = document["error"], document["result"]
        return cls(
            id=document["id"],
            state=document["state"],
            delivery=document["delivery"],
            reference=document["reference"],
            own_id=document.get("own_id"),
            metadata=document.get("metadata"),
            priority=document["priority"],
            created_at=datetime.fromisoformat(document["created_at"]),
            started_at=_moment(document["started_at"]),
            finished_at=_moment(document["finished_at"]),
            attempts=document["attempts"],
            queue_position=document["queue_position"],
            error=JobError(error["type"], error["detail"]) if error else None,
            result=Result.read(result) if result else None,
            document=document,
        )


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
