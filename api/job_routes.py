"""The routes under /v1/jobs: submit a radiograph, and ask for its job, result, overlay and image."""

import logging
from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

from flask import Blueprint, Response, g, jsonify, request

from api.intake import Intake
from api.overlay import overlay_of
from api.problem import Problem
from api.result_formats import result_answer
from api.submission import read_submission
from api.webhook_routes import redeliver_one
from jobs.document import document
from jobs.errors import NotStored, QueueUnavailable
from jobs.job import Job, is_job_id
from jobs.ledger import Ledger
from jobs.states import State
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


def job_routes(intake: Intake) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")
    ledger = intake.ledger

    def draw(job: Job) -> bytes:
        return overlay_of(job, ledger.image(job), Limits(intake.settings.max_pixels))

    @routes.post("")
    def submit() -> Response:
        intake.admit(g.client)
        job = intake.accept(read_submission(request, intake.settings), g.client)
        response = _job_response(job, intake)
        response.status_code = 202
        response.headers["Location"] = f"{intake.settings.public_url}/v1/jobs/{job.id}"
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
        return jsonify(jobs=[_document(job, intake) for job in page], next_cursor=behind)

    @routes.get("/<job_id>")
    def show(job_id: str) -> Response:
        response = _job_response(_own_job(job_id, ledger), intake)
        response.add_etag()
        response.make_conditional(request)
        return response

    @routes.get("/<job_id>/result")
    def result(job_id: str) -> Response:
        job = _succeeded_job(job_id, ledger)
        image, overlay = partial(_stored, ledger.image, job), partial(_stored, draw, job)
        media_type = MEDIA_TYPE[job.image.format]
        return result_answer(job, intake.settings.public_url, media_type, image, overlay)

    @routes.get("/<job_id>/heatmap")
    def heatmap(job_id: str) -> Response:
        job = _succeeded_job(job_id, ledger)
        return _file(_stored(draw, job), "image/png", f"{job.id}-overlay.png")

    @routes.get("/<job_id>/deliveries")
    def deliveries(job_id: str) -> Response:
        return jsonify(deliveries=ledger.deliveries(_own_job(job_id, ledger)))

    @routes.post("/<job_id>/redeliver")
    def redeliver(job_id: str) -> Response:
        job = _own_job(job_id, ledger)
        if not redeliver_one(ledger, intake.queue, job.id):
            detail = "There is no callback to deliver: the job has not ended, or named no callback_url."
            raise Problem(409, "nothing-to-deliver", detail)
        response = _job_response(ledger.read(job_id), intake)
        response.status_code = 202
        return response

    @routes.get("/<job_id>/image")
    def image(job_id: str) -> Response:
        job = _own_job(job_id, ledger)
        suffix = job.image.format.lower()
        return _file(_stored(ledger.image, job), MEDIA_TYPE[job.image.format], f"{job.id}.{suffix}")

    return routes


def _own_job(job_id: str, ledger: Ledger) -> Job:
    if is_job_id(job_id):
        try:
            job = ledger.current(job_id)
        except NotStored:
            job = None
        if job and job.client == g.client:
            return job
    raise Problem(
        404, "no-such-job", "There is no such job. Check the id, and that the key is this client's."
    )


def _succeeded_job(job_id: str, ledger: Ledger) -> Job:
    job = _own_job(job_id, ledger)
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


def _document(job: Job, intake: Intake) -> dict[str, Any]:
    try:
        position = intake.ledger.view.lines.position(job)
    except QueueUnavailable:
        position = None
    return document(job, intake.settings.public_url, position)


def _job_response(job: Job, intake: Intake) -> Response:
    return jsonify(_document(job, intake))


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
