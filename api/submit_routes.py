"""The routes by which a radiograph is submitted: checked, stored, enqueued, answered with its job."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from threading import BoundedSemaphore

from flask import Blueprint, Response, g, request

from api.admission import Admission
from api.description import Answer, describe
from api.job_answer import MEDIA_TYPE, POLL_SECONDS, job_answer, not_gone
from api.job_documents import JOB_ENDED
from api.problem import RETRY_SECONDS, Problem
from api.repeats import claim_place, headers_of, standing
from api.submission import (
    SUBMISSION_PROBLEMS,
    Submission,
    SubmissionFields,
    SubmissionForm,
    read_submission,
)
from api.threads import INTAKES
from api.waiting import Waiting, preferred_wait
from jobs.claims import Claim
from jobs.document import JobDocument
from jobs.errors import QueueUnavailable, TransientError
from jobs.job import ImageFacts, Job, made_at, new_job_id
from jobs.ledger import Ledger
from jobs.queue import JobQueue
from jobs.settings import Settings
from jobs.states import Delivery

log = logging.getLogger(__name__)

_FORM = (
    "As a multipart form, or as the raw image with the other fields in the query; path and query together"
    " then hold 8190 bytes at most. PNG, JPEG, TIFF, BMP, WebP and DICOM, told by content, with up to"
    " {settings.max_bytes:,} bytes, {settings.max_pixels:,} pixels."
)
_HEADERS = ("Location", "Idempotency-Replayed", "Idempotency-Expires", "Preference-Applied")
ACCEPTED = {
    200: Answer("Accepted, and ended while the request waited.", JobDocument, _HEADERS),
    202: Answer(
        "Accepted and durable.", JobDocument, (*_HEADERS, "Retry-After", "RateLimit-Policy", "RateLimit")
    ),
}
PROBLEMS = (
    *SUBMISSION_PROBLEMS,
    *("quota-exceeded", "too-many-waiting", "queue-full", "too-busy", "in-intake", "key-reused", "gone"),
)
BODY = {
    "multipart/form-data": SubmissionForm,
    **dict.fromkeys([*MEDIA_TYPE.values(), "application/octet-stream"], bytes),
}

SEAT_SECONDS = 10.0
"""For so long a submission waits until others have been read."""


@dataclass(frozen=True)
class Intake:
    """What a submission is taken in with."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    admission: Admission
    waiting: Waiting
    seats: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(INTAKES))


def submit_routes(intake: Intake) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("submit", __name__, url_prefix="/v1/jobs")

    @routes.post("")
    @describe(
        "submitJob",
        "Submit a radiograph",
        ACCEPTED,
        PROBLEMS,
        description=_FORM.format(settings=intake.settings)
        + " With the same Idempotency-Key and submission it is answered with the job that it made before.",
        query=SubmissionFields,
        headers=("Idempotency-Key", "Prefer", "traceparent"),
        body=BODY,
        callback=JOB_ENDED,
    )
    def submit() -> Response:
        return _submitted(intake, own_id=None)

    @routes.put("/<job_id>")
    @describe(
        "submitJobAs",
        "Submit a radiograph under an id of your own",
        ACCEPTED,
        PROBLEMS,
        description=_FORM.format(settings=intake.settings)
        + " The id stands in the place of an idempotency key, for as long as the job is kept; every route"
        " takes it in the place of the job's id.",
        query=SubmissionFields,
        headers=("Prefer", "traceparent"),
        body=BODY,
        callback=JOB_ENDED,
    )
    def submit_as(job_id: str) -> Response:
        return _submitted(intake, own_id=job_id)

    return routes


def _submitted(intake: Intake, own_id: str | None) -> Response:
    within, g.headers = intake.admission.count(g.client)
    if not within:
        detail = "This client submits more often than its quota allows. Send it again later."
        raise Problem(429, "quota-exceeded", detail)
    place = claim_place(request, g.client, own_id)
    try:
        intake.admission.refuse_when_full(g.client)
    except Problem:
        # What is repeated makes the queue no longer.
        if place is None or intake.ledger.claims.read(place) is None:
            raise
    if not intake.seats.acquire(timeout=SEAT_SECONDS):
        detail = "Too many submissions are being read at this moment. Send it again later."
        raise Problem(503, "too-busy", detail, retry_after=RETRY_SECONDS)
    try:
        job, headers = _taken_in(place, own_id, intake)
    finally:
        intake.seats.release()
    response = _answer(job, intake)
    response.headers.update(headers)
    return response


def _taken_in(place: str | None, own_id: str | None, intake: Intake) -> tuple[Job, Mapping[str, str]]:
    """The job, accepted now or, under its claim at `place`, before; and what to say of that claim."""
    settings, ledger = intake.settings, intake.ledger
    submission = read_submission(request, settings, settings.retention_of(g.client))
    job_id = new_job_id()
    if place is None:
        return _accepted(_new_job(job_id, submission, settings), submission.data, intake), {}
    claimed_at = made_at(job_id)
    ends = None if own_id else claimed_at + timedelta(seconds=settings.idempotency_seconds)
    claim, job = standing(Claim(place, job_id, submission.digest, claimed_at, ends), ledger)
    if job:
        return job, headers_of(claim, repeated=True)
    if claim.expires_at:
        ledger.due.put(claim.job_id, claim.expires_at)
    job = _new_job(claim.job_id, submission, settings, place)
    return _accepted(job, submission.data, intake), headers_of(claim, repeated=False)


def _accepted(job: Job, image: bytes, intake: Intake) -> Job:
    intake.ledger.accept(job, image)
    try:
        intake.queue.feed(job.client, job.priority)
    except QueueUnavailable:
        log.warning("Redis does not answer; the sweeper will enqueue this job", extra={"job": job.id})
    log.info("job accepted", extra={"job": job.id, "client": job.client})
    return job


def _answer(job: Job, intake: Intake) -> Response:
    public_url, seconds, waited = intake.settings.public_url, preferred_wait(request), False
    if seconds:
        with suppress(TransientError):  # It is accepted, whatever comes of the wait.
            job, waited = intake.waiting.until(lambda job: job.state.final, job, seconds)
    ended = waited and job.state.final
    response = job_answer(not_gone(job), intake.ledger, public_url, 200 if ended else 202)
    response.headers["Location"] = f"{public_url}/v1/jobs/{job.id}"
    if waited:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    if not ended:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return response


def _new_job(job_id: str, submission: Submission, settings: Settings, claim: str | None = None) -> Job:
    """The job; deadline and retention are the service's where the submission names none of its own.

    The same id and submission make the same job, whenever that is.
    """
    client, moment, radiograph = g.client, made_at(job_id), submission.radiograph
    deadline = submission.deadline_seconds or settings.deadline_seconds
    return Job(
        id=job_id,
        client=client,
        image=ImageFacts(
            sha256=radiograph.sha256,
            width=radiograph.width,
            height=radiograph.height,
            format=radiograph.format,
            size=len(submission.data),
        ),
        created_at=moment,
        queued_at=moment,
        expires_at=moment + timedelta(seconds=deadline),
        delivery=Delivery.PENDING if submission.callback_url else Delivery.NONE,
        priority=submission.priority,
        reference=submission.reference,
        metadata=submission.metadata,
        callback_url=submission.callback_url,
        retention_seconds=submission.retention_seconds or settings.retention_of(client),
        claim=claim,
        key=g.key.id,
        traceparent=g.traceparent,
    )
