"""What the routes under /v1/jobs take and answer beside the job, as types that describe it."""

from typing import Annotated, Literal, TypedDict

from api.openapi.describe import DescribedCallback
from jobs.record.documents import MOMENT, DeliveryAttempt, Event, JobDocument
from jobs.record.states import State

PAGE = 50
MOST_A_PAGE = 100
OWN_JOB_PROBLEMS = ("no-such-job", "gone")
"""What may stand against everything that is asked of a job."""
ENDED_PROBLEMS = (*OWN_JOB_PROBLEMS, "not-ready", "job-failed")
"""What may stand against everything that a job has only once it has succeeded."""
JOB_ENDED = DescribedCallback(
    "jobEnded",
    "{$request.body#/callback_url}",
    "The job has ended",
    Event,
    ("webhook-id", "webhook-timestamp", "webhook-signature"),
    {"2XX": "Delivered.", "410": "No more callbacks for this job."},
)


class JobList(TypedDict):
    """One page of a listing."""

    jobs: list[JobDocument]
    next_cursor: str | None


class JobEvent(TypedDict):
    """One server-sent event."""

    id: Annotated[str, "The job's version."]
    event: Literal["job"]
    data: Annotated[str, "The job, as JSON."]


class StudyChange(TypedDict):
    """One server-sent event of a study."""

    id: Annotated[str, "Grows with every change of the study or one of its jobs."]
    event: Literal["study"]
    data: Annotated[str, "The study, as JSON."]


class Deliveries(TypedDict):
    """The calls of a job's receiver, first to last."""

    deliveries: list[DeliveryAttempt]


class Listing(TypedDict, total=False):
    """What a listing is asked for."""

    state: State
    reference: Annotated[str, "Jobs with this very reference."]
    created_after: Annotated[str, MOMENT, "Jobs made at this time or later; ISO 8601 with its zone."]
    created_before: Annotated[str, MOMENT, "Jobs made before this time."]
    limit: Annotated[int, {"minimum": 1, "maximum": MOST_A_PAGE, "default": PAGE}]
    cursor: Annotated[str, "`next_cursor` of an earlier answer."]
