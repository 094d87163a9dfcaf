"""Reads a study and a test event from the answers of the service."""

from dataclasses import dataclass, field
from typing import Any, Literal, Self

from osteo_client.job import Delivery


@dataclass(frozen=True)
class Summary:
    """The view of a study that speaks most for a fracture."""

    finding: Literal["fracture", "no_fracture", "indeterminate"]
    probability: float
    job: str
    """The id of that view's job."""


@dataclass(frozen=True)
class Study:
    """Several views of one bone, as they were when last asked."""

    id: str
    state: Literal["queued", "running", "succeeded", "failed"]
    delivery: Delivery
    reference: str | None
    summary: Summary | None
    """None while no view has succeeded."""
    jobs: tuple[str, ...]
    """The ids of the views' jobs, in the order of their images."""
    document: dict[str, Any] = field(repr=False)
    """The service's whole document."""

    @property
    def ended(self) -> bool:
        """Whether all views have ended."""
        return self.state in ("succeeded", "failed")

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        summary = document["summary"]
        return cls(
            id=document["id"],
            state=document["state"],
            delivery=document["delivery"],
            reference=document["reference"],
            summary=Summary(summary["finding"], summary["probability"], summary["job"]) if summary else None,
            jobs=tuple(view["id"] for view in document["jobs"]),
            document=document,
        )


@dataclass(frozen=True)
class Probe:
    """A test event, and how its call ended."""

    id: str
    callback_url: str
    called: bool
    status: int | None
    """What the receiver answered; None before the call, and where it did not answer."""
    error: str | None

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        call = document["delivery"] or {"status": None, "error": None}
        return cls(
            id=document["id"],
            callback_url=document["callback_url"],
            called=document["delivery"] is not None,
            status=call["status"],
            error=call["error"],
        )
