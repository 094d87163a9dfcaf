"""The route by which a radiograph is submitted: checked, stored, enqueued, answered with its job."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from flask import Blueprint, Response, g, request

from api.admission import Admission
from api.job_answer import POLL_SECONDS, job_answer
from api.problem import Problem
from api.submission import Submission, read_submission
from jobs.errors import QueueUnavailable
from jobs.job import ImageFacts, Job, made_at, new_job_id
from jobs.ledger import Ledger
from jobs.queue import JobQueue
from jobs.settings import Settings
from jobs.states import Delivery

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intake:
    """What a submission is taken in with."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    admission: Admission


def submit_routes(intake: Intake) -> Blueprint:
    """The blueprint of this route. `g.client` holds the authenticated client."""
    routes = Blueprint("submit", __name__, url_prefix="/v1/jobs")
    ledger, public_url = intake.ledger, intake.settings.public_url

    @routes.post("")
    def submit() -> Response:
        within, g.headers = intake.admission.count(g.client)
        if not within:
            detail = "This client submits more often than its quota allows. Send it again later."
            raise Problem(429, "quota-exceeded", detail)
        intake.admission.refuse_when_full(g.client)
        kept = intake.settings.retention_of(g.client)
        submission = read_submission(request, intake.settings, kept)
        job = _new_job(submission, g.client, intake.settings.deadline_seconds, kept)
        ledger.accept(job, submission.data)
        try:
            intake.queue.feed(job.client, job.priority)
        except QueueUnavailable:
            log.warning("Redis does not answer; the sweeper will enqueue this job", extra={"job": job.id})
        log.info("job accepted", extra={"job": job.id, "client": job.client})
        response = job_answer(job, ledger, public_url, 202)
        response.headers["Location"] = f"{public_url}/v1/jobs/{job.id}"
        response.headers["Retry-After"] = str(POLL_SECONDS)
        return response

    return routes


def _new_job(submission: Submission, client: str, deadline_seconds: float, kept: int | None) -> Job:
    """The job; deadline and retention are the service's where the submission names none of its own."""
    job_id = new_job_id()
    moment = made_at(job_id)
    radiograph = submission.radiograph
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
        expires_at=moment + timedelta(seconds=submission.deadline_seconds or deadline_seconds),
        delivery=Delivery.PENDING if submission.callback_url else Delivery.NONE,
        priority=submission.priority,
        reference=submission.reference,
        metadata=submission.metadata,
        callback_url=submission.callback_url,
        retention_seconds=submission.retention_seconds or kept,
    )
