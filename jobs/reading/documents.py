"""Makes the JSON of a reading for the API's answers, and defines its types."""

from datetime import datetime
from typing import Annotated, Any, Literal, NotRequired, TypedDict, cast

from jobs.reading.disagreement import Disagreement
from jobs.reading.reading import Reading
from jobs.reading.report import Found, Report
from jobs.reading.states import CancelReason, Mode, ReadingState, Wish
from jobs.record.documents import MOMENT
from jobs.record.job import moment_text
from jobs.record.states import Priority


class Commitment(Found):
    """The finding that the reader committed first."""

    at: Annotated[str, MOMENT]
    reader: Annotated[str, "The id of the reader."]
    blind: Annotated[bool, "Whether the reader had seen nothing of the model's answer."]


class SignedReport(TypedDict):
    """One signed version of the report."""

    number: Annotated[int, "1 for the first."]
    report: Report
    reason: Annotated[str | None, "Why it was amended; null for the first."]
    at: Annotated[str, MOMENT]
    reader: Annotated[str, "The id of the reader who signed it."]
    reader_name: str
    jws: Annotated[str, "The signature over it: a compact JWS by a key of `/.well-known/jwks.json`."]


class Return(TypedDict):
    """Why the reader gave the reading back."""

    reason: Literal["not_diagnostic", "wrong_side", "other_view"]
    text: str
    at: Annotated[str, MOMENT]


class HistoryEntry(TypedDict):
    """One change of the reading."""

    type: str
    at: Annotated[str, MOMENT]


class ReadingDocument(TypedDict):
    """The reading."""

    id: str
    job: Annotated[str, "The id of the job that is read."]
    state: ReadingState
    mode: Annotated[Mode, "`blind`: the reader commits a finding before seeing the model's answer."]
    wish: Annotated[
        Wish, "Why it was requested. A finding is not blind where the model's answer was the reason."
    ]
    priority: Priority
    question: Annotated[str | None, "The client's own, as sent."]
    requested_at: Annotated[str, MOMENT]
    due_at: Annotated[str, MOMENT]
    overdue: bool
    claimed_at: Annotated[str | None, MOMENT]
    reader_name: Annotated[str | None, "Who reads it, or has read it."]
    committed: Commitment | None
    disagreement: Disagreement | None
    report: Annotated[Report | None, "The report as it was signed last; null before."]
    reports: Annotated[list[SignedReport], "All signed versions, first to last."]
    returned: Return | None
    canceled_because: NotRequired[
        Annotated[
            CancelReason,
            "Of a canceled reading. `job_deleted` stands in no answer: the reading is deleted with its job.",
        ]
    ]
    arbitrates: Annotated[str | None, "The id of the reading whose disagreement this one decides."]
    history: list[HistoryEntry]
    draft: NotRequired[Annotated[dict[str, Any] | None, "Its reader alone sees it."]]
    links: dict[str, str]


def reading_document(reading: Reading, at: datetime, base_url: str) -> ReadingDocument:
    """Return the public JSON of a reading, with links below `base_url`. It has no draft."""
    signed = bool(reading.reports)
    made: ReadingDocument = {
        "id": reading.id,
        "job": reading.job,
        "state": reading.state,
        "mode": reading.mode,
        "wish": reading.wish,
        "priority": reading.priority,
        "question": reading.question,
        "requested_at": moment_text(reading.requested_at),
        "due_at": moment_text(reading.due_at),
        "overdue": reading.overdue(at),
        "claimed_at": moment_text(reading.claimed_at) if reading.claimed_at else None,
        "reader_name": reading.reader_name,
        # A finding counts from its signature on: before, its reader may still return the reading.
        "committed": cast(Commitment, reading.committed) if signed else None,
        "disagreement": cast(Disagreement, reading.disagreement) if signed else None,
        "report": reading.reports[-1]["report"] if signed else None,
        "reports": [cast(SignedReport, report) for report in reading.reports],
        "returned": cast(Return, {name: reading.returned[name] for name in ("reason", "text", "at")})
        if reading.returned
        else None,
        "arbitrates": reading.arbitrates,
        "history": [{"type": entry["type"], "at": entry["at"]} for entry in reading.history],
        "links": links_of_reading(reading.id, reading.job, base_url),
    }
    if reading.canceled_because:
        made["canceled_because"] = CancelReason(reading.canceled_because)
    return made


def links_of_reading(reading_id: str, job_id: str, base_url: str) -> dict[str, str]:
    """Return the links to a reading and its job, below `base_url`."""
    return {
        "self": f"{base_url}/v1/readings/{reading_id}",
        "job": f"{base_url}/v1/jobs/{job_id}",
        "page": f"{base_url}/read/{job_id}",
    }
