"""Defines a study: several views, each a job of its own, with one summary and one callback.

A study is a record in the ledger as a job is, with `members` and without an image. Sweeper, delivery and
purge therefore treat it as they treat a job.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Literal, TypedDict, cast

from ulid import ULID

from jobs.record.documents import MOMENT, JobError, Result, links_of
from jobs.record.events import STUDY_EVENTS
from jobs.record.job import NO_IMAGE, Job, moment_text, now
from jobs.record.states import Delivery, State

MOST_IMAGES = 20
"""Most images, and so most jobs, of a study."""


class Summary(TypedDict):
    """The view with the highest probability of a fracture."""

    finding: Literal["fracture", "no_fracture", "indeterminate"]
    probability: Annotated[float, {"minimum": 0, "maximum": 1}, "The highest of its views, calibrated."]
    job: Annotated[str, "The id of that view's job."]


class StudyJob(TypedDict):
    """One view."""

    id: str
    state: State
    result: Result | None
    error: JobError | None
    links: dict[str, str]


class StudyDocument(TypedDict):
    """The study."""

    id: str
    state: Annotated[
        Literal["queued", "running", "succeeded", "failed"],
        "`failed` where all views have ended and none has succeeded.",
    ]
    delivery: Annotated[Delivery, "Where the callback stands."]
    reference: Annotated[str | None, "The client's own, as submitted."]
    created_at: Annotated[str, MOMENT]
    finished_at: Annotated[str | None, MOMENT]
    summary: Annotated[Summary | None, "null while no view has succeeded."]
    jobs: Annotated[list[StudyJob], "The views in the order of their images, without deleted ones."]
    links: dict[str, str]


class StudyEvent(TypedDict):
    """The callback of a study."""

    type: Annotated[str, {"enum": list(STUDY_EVENTS)}]
    timestamp: Annotated[str, MOMENT]
    data: StudyDocument


def member_id(study_id: str, number: int) -> str:
    """Return the id of a study's job. It is always the same, so that a second intake makes no other job."""
    made = ULID.from_str(study_id.removeprefix("study_")).bytes[:6]
    return f"job_{ULID(made + hashlib.sha256(f'{study_id} {number}'.encode()).digest()[:10])}"


def is_member(job_id: str, study_id: str) -> bool:
    """Return whether this is the id of a job of the study, as the two ids say."""
    return any(member_id(study_id, number) == job_id for number in range(MOST_IMAGES))


def study_of(study_id: str, jobs: list[Job], callback_url: str | None, claim: str | None) -> Job:
    """Return the record of a new study of these jobs. It runs until it is `concluded`.

    People read its views, and find them by a Study Instance UID: both are of each view, and not of the study.
    """
    return replace(
        jobs[0],
        id=study_id,
        image=NO_IMAGE,
        acquisition=None,
        metadata=None,
        filed_under=None,
        expires_at=None,
        state=State.RUNNING,
        delivery=Delivery.PENDING if callback_url else Delivery.NONE,
        callback_url=callback_url,
        claim=claim,
        study=None,
        reading=None,
        training_use=None,
        consent_reference=None,
        members=tuple(job.id for job in jobs),
    )


def concluded(study: Job, jobs: Iterable[Job]) -> Job | None:
    """Return the next version of a running study whose `jobs` have all ended; None for any other."""
    states = {job.state for job in jobs}
    if study.state.final or not all(state.final for state in states):
        return None
    return study.concluded(State.SUCCEEDED in states, now())


def study_document(study: Job, jobs: Iterable[Job], base_url: str) -> StudyDocument:
    """Return the public JSON of `study` and its `jobs`, with links below `base_url`."""
    seen = [job for job in jobs if job.state is not State.ERASED]
    state = study.state
    if not state.final and seen and all(job.state is State.QUEUED for job in seen):
        state = State.QUEUED
    return {
        "id": study.id,
        "state": cast(Literal["queued", "running", "succeeded", "failed"], str(state)),
        "delivery": study.delivery,
        "reference": study.reference,
        "created_at": moment_text(study.created_at),
        "finished_at": moment_text(study.finished_at) if study.finished_at else None,
        "summary": _summary(seen),
        "jobs": [_view(job, base_url) for job in seen],
        "links": {"self": f"{base_url}/v1/studies/{study.id}"},
    }


def _summary(jobs: list[Job]) -> Summary | None:
    results = [(job.result, job.id) for job in jobs if job.result]
    if not results:
        return None
    result, job_id = max(results, key=lambda one: one[0]["probability"])
    return {"finding": result["finding"], "probability": result["probability"], "job": job_id}


def _view(job: Job, base_url: str) -> StudyJob:
    return {
        "id": job.id,
        "state": job.state,
        "result": cast(Result | None, job.result),
        "error": cast(JobError | None, job.error),
        "links": links_of(job, base_url),
    }
