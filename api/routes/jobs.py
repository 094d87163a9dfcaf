"""Serves the jobs of a client: the list, one job, its events and deliveries, cancellation and deletion."""

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Literal, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from api.callbacks.redeliveries import Deliveries, Redeliveries
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.admission import RATE_LIMIT
from api.openapi.describe import Answer, describe
from api.routes.job_answers import OWN_JOB_PROBLEMS, job_answer, job_document, not_gone, own_job, read_stored
from api.routes.job_list import JobList, Listing, page_of, wanted_jobs
from api.routes.waiting import Waiting, known_versions, last_event_id, preferred_wait, with_etag
from jobs.lifecycle.compare_and_set import change_job
from jobs.lifecycle.deletion import delete
from jobs.lifecycle.next_step import start_next_step
from jobs.reading.readings import Readings
from jobs.record.documents import JobDocument
from jobs.record.errors import IllegalMove, TransientError
from jobs.record.job import Job, now
from jobs.record.states import State
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)


class JobEvent(TypedDict):
    """One server-sent event."""

    id: Annotated[str, "The job's version."]
    event: Literal["job"]
    data: Annotated[str, "The job, as JSON."]


def job_routes(
    ledger: Ledger, queue: JobQueue, redeliveries: Redeliveries, waiting: Waiting, public_url: str
) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")

    @routes.get("")
    @describe(
        "listJobs",
        "List the client's jobs, newest first",
        {200: Answer("One page of jobs.", JobList)},
        (Slug.MALFORMED,),
        description="Pages do not shift while jobs arrive: new jobs come before every cursor. A page may have"
        " fewer jobs than `limit`, or none, and still have a `next_cursor`.",
        query=Listing,
    )
    def list_jobs() -> Response:
        page, next_cursor = page_of(g.caller.client, wanted_jobs(request.args), ledger)
        documents = [job_document(job, ledger, public_url) for job in page]
        return jsonify(jobs=documents, next_cursor=next_cursor)

    @routes.get("/<job_id>")
    @describe(
        "getJob",
        "Get a job",
        {
            200: Answer("The job.", JobDocument, ("ETag", "Preference-Applied")),
            304: Answer("The job has not changed."),
        },
        OWN_JOB_PROBLEMS,
        description="With `Prefer: wait=N` the answer is sent when the job has ended, or after N seconds."
        " With `If-None-Match` as well, it is sent as soon as the job has changed.",
        headers=("If-None-Match", "Prefer"),
    )
    def show(job_id: str) -> Response:
        job, seconds, waited = own_job(job_id, ledger), preferred_wait(request), False
        if seconds:
            job, waited = waiting.until(_awaited(), job, seconds)
        response = job_answer(not_gone(job), ledger, public_url)
        return with_etag(response, job.version, seconds if waited else 0)

    @routes.get("/<job_id>/events")
    @describe(
        "watchJob",
        "Stream the versions of a job as server-sent events",
        {
            200: Answer(
                "The stream. It ends when nothing is left to do for the job, and when the key ends.",
                {"text/event-stream": JobEvent},
            ),
            204: Answer("No further event will come."),
        },
        (*OWN_JOB_PROBLEMS, Slug.TOO_MANY_WAITING),
        description="Each event is a `job` with the job as its data and its version as its id. A client that"
        " reconnects with `Last-Event-ID` gets the versions after it.",
        headers=("Last-Event-ID",),
    )
    def events(job_id: str) -> Response:
        return waiting.events(own_job(job_id, ledger), last_event_id(), g.key_holds)

    @routes.post("/<job_id>/cancel")
    @describe(
        "cancelJob",
        "Cancel a job that has not ended",
        {
            200: Answer("The job was canceled before a worker started it.", JobDocument),
            202: Answer("The job was canceled while it was analysed. The result is dropped.", JobDocument),
        },
        (*OWN_JOB_PROBLEMS, Slug.JOB_ENDED),
    )
    def cancel(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        # Before the change: the sweeper cancels the open readings where this process dies after it.
        Readings(ledger).check_soon(job.id)
        try:
            before, canceled = change_job(job.id, lambda job: job.canceled(now()), ledger)
        except IllegalMove as error:
            detail = "The job has ended already: there is nothing left to cancel."
            raise Problem(Slug.JOB_ENDED, detail) from error
        log.info("job canceled", extra={"job": job.id, "client": g.caller.client})
        try:
            start_next_step(canceled, ledger, queue)
        except TransientError as error:
            log.warning("the sweeper will continue this job: %s", error, extra={"job": job.id})
        status = 200 if before.state is State.QUEUED else 202
        return job_answer(canceled, ledger, public_url, status)

    @routes.delete("/<job_id>")
    @describe(
        "deleteJob",
        "Delete a job with all that belongs to it",
        {204: Answer("The job was deleted.")},
        OWN_JOB_PROBLEMS,
        description="Image, result, deliveries and record are erased. A tombstone without content stays. A"
        " job that is being analysed is deleted as well. No callback is sent.",
    )
    def erase(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        with suppress(IllegalMove):  # Another request has just deleted it.
            delete(job.id, ledger)
        log.info("job deleted", extra={"job": job.id, "client": g.caller.client})
        return Response(status=204)

    @routes.get("/<job_id>/deliveries")
    @describe(
        "getDeliveries",
        "List the deliveries of the job's callback",
        {200: Answer("The calls of the receiver and their outcomes, first to last.", Deliveries)},
        OWN_JOB_PROBLEMS,
    )
    def deliveries(job_id: str) -> Response:
        deliveries = read_stored(ledger.deliveries, own_job(job_id, ledger), ledger)
        return jsonify(deliveries=deliveries)

    @routes.post("/<job_id>/redeliver")
    @describe(
        "redeliverJob",
        "Send the job's callback again, with the same webhook-id",
        {202: Answer("The job. Its callback will be sent at once.", JobDocument, RATE_LIMIT)},
        (*OWN_JOB_PROBLEMS, Slug.NOTHING_TO_DELIVER, Slug.QUOTA_EXCEEDED),
    )
    def redeliver(job_id: str) -> Response:
        job = redeliveries.of(own_job(job_id, ledger))
        return job_answer(job, ledger, public_url, 202)

    return routes


def _awaited() -> Callable[[Job], bool]:
    """Return the condition to wait for: a version that the client does not have, or the end of the job."""
    seen = known_versions()
    return lambda job: job.state.final or (bool(seen) and str(job.version) not in seen)
