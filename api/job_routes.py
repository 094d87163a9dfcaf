"""The routes under /v1/jobs: submit a radiograph, and ask for its job, result, overlay and image."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice

from flask import Blueprint, Response, g, jsonify, request

from api.admission import Admission
from api.job_answer import job_answer, job_document, own_job
from api.overlay import overlay_of
from api.problem import Problem
from api.submission import Submission, read_submission
from api.webhook_routes import redeliver_one
from jobs.errors import NotStored, QueueUnavailable
from jobs.job import ImageFacts, Job, is_job_id, new_job_id, now
from jobs.ledger import Ledger
from jobs.queue import JobQueue
from jobs.settings import Settings
from jobs.states import Delivery, State
from model.image import Limits

log = logging.getLogger(__name__)

POLL_SECONDS = 1
PAGE = 50
MOST_A_PAGE = 100
MOST_LOOKED_AT = 200
"""Jobs that one listing looks at while it filters; the cursor goes on behind them."""
MEDIA_TYPE = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "WEBP": "image/webp",
    "DICOM": "application/dicom",
}


@dataclass(frozen=True)
class Intake:
    """What the routes work with."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    admission: Admission


def job_routes(intake: Intake) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")
    ledger, public_url = intake.ledger, intake.settings.public_url

    @routes.post("")
    def submit() -> Response:
        within, g.headers = intake.admission.count(g.client)
        if not within:
            detail = "This client submits more often than its quota allows. Send it again later."
            raise Problem(429, "quota-exceeded", detail)
        intake.admission.refuse_when_full(g.client)
        submission = read_submission(request, intake.settings)
        job = _new_job(submission, g.client, timedelta(seconds=intake.settings.deadline_seconds))
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

    @routes.get("")
    def list_jobs() -> Response:
        state, limit, cursor = _listing_arguments()
        looked_at = list(islice(ledger.of_client(g.client, cursor), MOST_LOOKED_AT + 1))
        page: list[Job] = []
        behind: str | None = None
        for job in ledger.current_many(looked_at[:MOST_LOOKED_AT]):
            if len(page) == limit:
                behind = page[-1].id
                break
            if state is None or job.state is state:
                page.append(job)
        else:
            if len(looked_at) > MOST_LOOKED_AT:
                behind = looked_at[MOST_LOOKED_AT - 1]
        documents = [job_document(job, ledger, public_url) for job in page]
        return jsonify(jobs=documents, next_cursor=behind)

    @routes.get("/<job_id>")
    def show(job_id: str) -> Response:
        response = job_answer(own_job(job_id, ledger), ledger, public_url)
        response.add_etag()
        response.make_conditional(request)
        return response

    @routes.get("/<job_id>/result")
    def result(job_id: str) -> Response:
        return jsonify(_succeeded_job(job_id, ledger).result)

    @routes.get("/<job_id>/heatmap")
    def heatmap(job_id: str) -> Response:
        job = _succeeded_job(job_id, ledger)
        limits = Limits(intake.settings.max_pixels)
        drawn = _stored(lambda job: overlay_of(job, ledger.image(job), limits), job)
        return _file(drawn, "image/png", f"{job.id}-overlay.png")

    @routes.get("/<job_id>/deliveries")
    def deliveries(job_id: str) -> Response:
        return jsonify(deliveries=ledger.deliveries(own_job(job_id, ledger)))

    @routes.post("/<job_id>/redeliver")
    def redeliver(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        if not redeliver_one(ledger, intake.queue, job.id):
            detail = "There is no callback to deliver: the job has not ended, or named no callback_url."
            raise Problem(409, "nothing-to-deliver", detail)
        return job_answer(ledger.read(job_id), ledger, public_url, 202)

    @routes.get("/<job_id>/image")
    def image(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        suffix = job.image.format.lower()
        return _file(_stored(ledger.image, job), MEDIA_TYPE[job.image.format], f"{job.id}.{suffix}")

    return routes


def _new_job(submission: Submission, client: str, deadline: timedelta) -> Job:
    moment = now()
    radiograph = submission.radiograph
    return Job(
        id=new_job_id(),
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
        expires_at=moment + deadline,
        delivery=Delivery.PENDING if submission.callback_url else Delivery.NONE,
        priority=submission.priority,
        reference=submission.reference,
        metadata=submission.metadata,
        callback_url=submission.callback_url,
    )


def _succeeded_job(job_id: str, ledger: Ledger) -> Job:
    job = own_job(job_id, ledger)
    if job.state is State.SUCCEEDED:
        return job
    if job.error:
        raise Problem(409, "job-failed", f"The job failed: {job.error['detail']}", error=job.error)
    detail = f"The job is {job.state}; its result is not there yet. Ask again later."
    raise Problem(409, "not-ready", detail, retry_after=POLL_SECONDS)


def _stored(read: Callable[[Job], bytes], job: Job) -> bytes:
    try:
        return read(job)
    except NotStored as error:
        log.error("an object of this job is missing", extra={"job": job.id})
        detail = "This file is missing from the object store. Tell the operator, with the job's id."
        raise Problem(500, "object-missing", detail) from error


def _listing_arguments() -> tuple[State | None, int, str | None]:
    unknown = sorted(request.args.keys() - {"state", "limit", "cursor"})
    if unknown:
        raise Problem(400, "malformed", f"Unknown parameter: {', '.join(unknown)[:200]}.")
    cursor = request.args.get("cursor")
    if cursor is not None and not is_job_id(cursor):
        raise Problem(400, "malformed", "`cursor` is the `next_cursor` of an earlier answer.")
    try:
        limit = int(request.args.get("limit", PAGE))
        state = State(request.args["state"]) if "state" in request.args else None
    except ValueError as error:
        states = ", ".join(State)
        raise Problem(400, "malformed", f"`limit` is a number, `state` is one of: {states}.") from error
    if not 1 <= limit <= MOST_A_PAGE:
        raise Problem(400, "malformed", f"`limit` lies between 1 and {MOST_A_PAGE}.")
    return state, limit, cursor


def _file(data: bytes, media_type: str, name: str) -> Response:
    return Response(
        data, content_type=media_type, headers={"Content-Disposition": f'inline; filename="{name}"'}
    )
