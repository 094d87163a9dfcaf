"""Reads a reading, which a person signs, from the answers of the service."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Self

from osteo_client.job import Priority

Wish = Literal["none", "requested", "if_indeterminate", "if_positive", "sample"]
TrainingUse = Literal["allowed", "denied"]
ReadingState = Literal["requested", "claimed", "signed", "amended", "returned", "canceled", "expired"]
ReadFinding = Literal["fracture", "no_fracture", "not_sure", "not_diagnostic"]


@dataclass(frozen=True)
class Site:
    """Where the reader sees a fracture, in pixels of the submitted image: a box or a point."""

    box: tuple[float, float, float, float] | None
    """x, y, width and height."""
    point: tuple[float, float] | None
    """x and y."""
    bone: str | None


@dataclass(frozen=True)
class Measurement:
    """What the reader has measured, between points in pixels of the submitted image."""

    kind: Literal["length", "angle", "cobb"]
    points: tuple[tuple[float, float], ...]
    """x and y of each: two of a length, three of an angle (its corner second), four of a Cobb angle."""
    value: float
    unit: Literal["mm", "deg", "{pixels}"]
    """In UCUM: `{pixels}` where there is no scale."""
    plane: Literal["calibrated", "detector", "unstated"] | None
    """Where a length in millimetres holds; None of an angle, and of pixels."""
    calibrated_on: float | None
    """Millimetres of the object by which the reader calibrated it; None without one."""

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        return cls(
            kind=document["kind"],
            points=tuple((x, y) for x, y in document["points"]),
            value=document["value"],
            unit=document["unit"],
            plane=document["plane"],
            calibrated_on=document["calibration"]["mm"] if "calibration" in document else None,
        )


@dataclass(frozen=True)
class Report:
    """What the reader found."""

    finding: ReadFinding
    """`not_diagnostic`: the radiograph allows no answer."""
    sites: tuple[Site, ...]
    measurements: tuple[Measurement, ...]
    text: str
    urgent: bool
    advice: str

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        return cls(
            finding=document["finding"],
            sites=tuple(
                Site(
                    tuple(site["box"]) if "box" in site else None,
                    tuple(site["point"]) if "point" in site else None,
                    site.get("bone"),
                )
                for site in document["sites"]
            ),
            measurements=tuple(Measurement.read(one) for one in document.get("measurements", ())),
            text=document["text"],
            urgent=document["urgent"],
            advice=document["advice"],
        )


@dataclass(frozen=True)
class SignedReport:
    """One signed version of a report."""

    number: int
    """1 for the first."""
    report: Report
    reason: str | None
    """Why it was amended; None for the first."""
    at: datetime
    reader_name: str
    jws: str = field(repr=False)
    """The signature over it: see `osteo_client.signatures`."""
    document: dict[str, Any] = field(repr=False)
    """The service's whole document."""

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        return cls(
            number=document["number"],
            report=Report.read(document["report"]),
            reason=document["reason"],
            at=datetime.fromisoformat(document["at"]),
            reader_name=document["reader_name"],
            jws=document["jws"],
            document=document,
        )


@dataclass(frozen=True)
class Disagreement:
    """How the model's answer differs from what the reader committed."""

    kind: Literal["none", "missed", "overcalled", "location", "not_comparable"]
    grade: Literal["1", "2a", "2b", "3a", "3b"] | None
    """The reader's grade of the model's answer, by RADPEER."""


@dataclass(frozen=True)
class Return:
    """Why the reader gave a reading back."""

    reason: Literal["not_diagnostic", "wrong_side", "other_view"]
    text: str


@dataclass(frozen=True)
class Reading:
    """A person's interpretation of a job's radiograph, as it was when last asked."""

    id: str
    job: str
    """The id of the job that is read."""
    state: ReadingState
    mode: Literal["blind", "assisted"]
    priority: Priority
    question: str | None
    requested_at: datetime
    due_at: datetime
    overdue: bool
    reader_name: str | None
    report: Report | None
    """As it was signed last; None before."""
    reports: tuple[SignedReport, ...]
    """Every signed version, first to last."""
    disagreement: Disagreement | None
    returned: Return | None
    arbitrates: str | None
    """The id of the reading whose disagreement this one decides."""
    document: dict[str, Any] = field(repr=False)
    """The service's whole document, with fields that are newer than this client."""

    @property
    def ended(self) -> bool:
        """Whether no reader has to work on it any more."""
        return self.state not in ("requested", "claimed")

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the service's JSON. Raises KeyError for what is none."""
        differs, report, returned = document["disagreement"], document["report"], document["returned"]
        return cls(
            id=document["id"],
            job=document["job"],
            state=document["state"],
            mode=document["mode"],
            priority=document["priority"],
            question=document["question"],
            requested_at=datetime.fromisoformat(document["requested_at"]),
            due_at=datetime.fromisoformat(document["due_at"]),
            overdue=document["overdue"],
            reader_name=document["reader_name"],
            report=Report.read(report) if report else None,
            reports=tuple(SignedReport.read(one) for one in document["reports"]),
            disagreement=Disagreement(differs["kind"], differs["grade"]) if differs else None,
            returned=Return(returned["reason"], returned["text"]) if returned else None,
            arbitrates=document["arbitrates"],
            document=document,
        )


@dataclass(frozen=True)
class ReadingNotice:
    """What the callback of a reading tells: where it stands. The report is fetched by its id."""

    id: str
    job: str
    """The id of the job that is read."""
    state: ReadingState
    due_at: datetime

    @classmethod
    def read(cls, document: dict[str, Any]) -> Self:
        """Read the `data` of a callback. Raises KeyError for what is none."""
        due_at = datetime.fromisoformat(document["due_at"])
        return cls(document["id"], document["job"], document["state"], due_at)
