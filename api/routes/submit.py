"""Takes submissions of radiographs: checks, stores and enqueues each, and answers with its job."""

import logging
from contextlib import suppress

from flask import Blueprint, Response, g, request

from api.http.media_types import MEDIA_TYPE
from api.http.problem_kinds import Slug
from api.intake.accept import Accepted, Intake, done_with_body
from api.intake.idempotency import claim_key
from api.intake.submission import (
    SUBMISSION_PROBLEMS,
    JobFields,
    SubmissionForm,
    read_submission,
)
from api.openapi.describe import Answer, Size, describe, event_callback
from api.routes.job_answers import POLL_SECONDS, job_answer, not_gone
from api.routes.uploads import uploaded_image
from api.routes.waiting import Waiting, preferred_wait
from jobs.record.documents import Event, JobDocument
from jobs.record.errors import TransientError
from jobs.record.events import JOB_EVENTS
from jobs.store.uploads import Uploads

log = logging.getLogger(__name__)

_FORM = (
    "Send a multipart form, or the raw image with the other fields in the query; path and query together then"
    " have at most 8190 bytes. The image is PNG, JPEG, TIFF, BMP, WebP or DICOM, recognized by content, of"
    " at most {settings.max_bytes:,} bytes and {settings.max_pixels:,} pixels. An `upload_id`, in the form or"
    " the query, replaces the image by one that was uploaded before."
)
_JOB_ENDED = event_callback("jobEnded", "The job has ended", Event, "this job", JOB_EVENTS)
_HEADERS = ("Location", "Idempotency-Replayed", "Idempotency-Expires", "Preference-Applied")
_ACCEPTED = {
    200: Answer("The job was accepted, and has ended.", JobDocument, _HEADERS),
    202: Answer(
        "The job was accepted and stored.",
        JobDocument,
        (*_HEADERS, "Retry-After", "RateLimit-Policy", "RateLimit"),
    ),
}
PROBLEMS = (
    *SUBMISSION_PROBLEMS,
    *(
        Slug.QUOTA_EXCEEDED,
        Slug.TOO_MANY_WAITING,
        Slug.QUEUE_FULL,
        Slug.TOO_BUSY,
        Slug.IN_INTAKE,
        Slug.KEY_REUSED,
        Slug.GONE,
    ),
    Slug.NO_SUCH_UPLOAD,
    Slug.UPLOAD_DIFFERS,
    Slug.UNSUPPORTED_MEDIA_TYPE,
)
BODY = {
    "multipart/form-data": SubmissionForm,
    **dict.fromkeys([*MEDIA_TYPE.values(), "application/octet-stream"], bytes),
}


def submit_routes(intake: Intake, waiting: Waiting, uploads: Uploads) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("submit", __name__, url_prefix="/v1/jobs")

    @routes.post("")
    @describe(
        "submitJob",
        "Submit a radiograph",
        _ACCEPTED,
        PROBLEMS,
        description=_FORM.format(settings=intake.settings)
        + " A repetition with the same Idempotency-Key and submission is answered with the job of the first.",
        query=JobFields,
        headers=("Idempotency-Key", "Prefer", "traceparent"),
        body=BODY,
        body_required=False,
        size=Size.IMAGE,
        callback=_JOB_ENDED,
    )
    def submit() -> Response:
        return _submitted(intake, waiting, uploads, own_id=None)

    @routes.put("/<job_id>")
    @describe(
        "submitJobAs",
        "Submit a radiograph under an id of your own",
        _ACCEPTED,
        PROBLEMS,
        description=_FORM.format(settings=intake.settings)
        + " The id serves as an idempotency key for as long as the job is kept. Every route accepts it"
        " instead of the job's id.",
        query=JobFields,
        headers=("Prefer", "traceparent"),
        body=BODY,
        body_required=False,
        size=Size.IMAGE,
        callback=_JOB_ENDED,
    )
    def submit_as(job_id: str) -> Response:
        return _submitted(intake, waiting, uploads, own_id=job_id)

    return routes


def _submitted(intake: Intake, waiting: Waiting, uploads: Uploads, own_id: str | None) -> Response:
    key = claim_key(request, g.caller.client, own_id)
    g.headers = intake.admit(g.caller, key)
    submission = read_submission(
        request,
        g.caller.client,
        intake.settings,
        intake.pictures,
        lambda upload_id: uploaded_image(upload_id, key, uploads, intake),
    )
    accepted = intake.accept(submission, g.caller, key, own_id)
    done_with_body()
    if submission.upload and accepted.job.upload == submission.upload:
        with suppress(TransientError):  # The upload is erased later in any case.
            uploads.delete(g.caller.client, submission.upload)
    response = _answer(accepted, intake, waiting)
    response.headers.update(accepted.headers)
    return response


def _answer(accepted: Accepted, intake: Intake, waiting: Waiting) -> Response:
    public_url, seconds, waited = intake.settings.public_url, preferred_wait(request), False
    job, position = accepted.job, accepted.position
    if seconds:
        with suppress(TransientError):  # The submission is accepted even if the wait fails.
            job, waited = waiting.until(lambda job: job.state.final, job, seconds)
            position = None
    ended = waited and job.state.final
    response = job_answer(not_gone(job), intake.ledger, public_url, 200 if ended else 202, position)
    response.headers["Location"] = f"{public_url}/v1/jobs/{job.id}"
    if waited:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    if not ended:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return response
