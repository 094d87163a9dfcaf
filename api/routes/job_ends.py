"""The routes by which a client ends a job: cancel it, or delete it with all that belongs to it."""

import logging
from contextlib import suppress

from flask import Blueprint, Response, g

from api.http.problem import Problem
from api.openapi.describe import Answer, describe
from api.routes.job_answers import job_answer, own_job
from api.routes.job_types import OWN_JOB_PROBLEMS
from jobs.lifecycle.compare_and_set import insist
from jobs.lifecycle.deletion import delete
from jobs.lifecycle.next_step import pass_on
from jobs.record.documents import JobDocument
from jobs.record.errors import IllegalMove, TransientError
from jobs.record.job import now
from jobs.record.states import State
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)


def end_routes(settings: Settings, ledger: Ledger, queue: JobQueue) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("ends", __name__, url_prefix="/v1/jobs")

    @routes.post("/<job_id>/cancel")
    @describe(
        "cancelJob",
        "Cancel a job that has not ended",
        {
            200: Answer("Canceled before it was taken up.", JobDocument),
            202: Answer("Canceled while it was analysed; what comes of that is dropped.", JobDocument),
        },
        (*OWN_JOB_PROBLEMS, "job-ended"),
    )
    def cancel(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        try:
            before, canceled = insist(job.id, lambda job: job.canceled(now()), ledger)
        except IllegalMove as error:
            detail = "The job has ended already: there is nothing left to cancel."
            raise Problem(409, "job-ended", detail) from error
        log.info("job canceled", extra={"job": job.id, "client": g.client})
        try:
            pass_on(canceled, ledger, queue)
        except TransientError as error:
            log.warning("the sweeper passes this job on: %s", error, extra={"job": job.id})
        status = 200 if before.state is State.QUEUED else 202
        return job_answer(canceled, ledger, settings.public_url, status)

    @routes.delete("/<job_id>")
    @describe(
        "deleteJob",
        "Delete a job with all that belongs to it",
        {204: Answer("Deleted.")},
        OWN_JOB_PROBLEMS,
        description="Image, result, deliveries and record are erased; a tombstone without content stays."
        " A job at work is deleted as well. No callback is sent.",
    )
    def erase(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        with suppress(IllegalMove):  # Another request was faster.
            delete(job.id, ledger)
        log.info("job deleted", extra={"job": job.id, "client": g.client})
        return Response(status=204)

    return routes
