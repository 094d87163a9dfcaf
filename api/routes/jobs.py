"""The routes by which a client asks for one of its jobs, and for its result, overlay and image."""

import logging
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import TypeVar

from flask import Blueprint, Response, g, jsonify, request

from api.http.media_types import MEDIA_TYPE
from api.http.problem import Problem
from api.intake.admission import RATE_LIMIT
from api.intake.decode import Pictures
from api.openapi.describe import Answer, describe
from api.results.formats import RESULT_FORMATS, ResultQuery, result_answer
from api.results.overlay import overlay_of
from api.routes.job_answers import POLL_SECONDS, job_answer, not_gone, own_job
from api.routes.job_types import ENDED_PROBLEMS, OWN_JOB_PROBLEMS, Deliveries, JobEvent
from api.routes.redeliveries import Redeliveries
from api.routes.waiting import Waiting, last_event, preferred_wait, remembered, tagged
from jobs.record.documents import JobDocument
from jobs.record.errors import NotStored
from jobs.record.job import Job
from jobs.record.states import State
from jobs.settings import Settings
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

T = TypeVar("T")


def job_routes(
    settings: Settings, ledger: Ledger, redeliveries: Redeliveries, waiting: Waiting, pictures: Pictures
) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("jobs", __name__, url_prefix="/v1/jobs")
    public_url = settings.public_url

    def draw(job: Job) -> bytes:
        return overlay_of(job, ledger.image(job), pictures)

    @routes.get("/<job_id>")
    @describe(
        "getJob",
        "The job",
        {
            200: Answer("The job.", JobDocument, ("ETag", "Preference-Applied")),
            304: Answer("Nothing has changed."),
        },
        OWN_JOB_PROBLEMS,
        description="With `Prefer: wait=N` and `If-None-Match` it is answered when the job has changed, or"
        " after N seconds; without `If-None-Match`, and at the latest, when the job has ended.",
        headers=("If-None-Match", "Prefer"),
    )
    def show(job_id: str) -> Response:
        job, seconds, waited = own_job(job_id, ledger), preferred_wait(request), False
        if seconds:
            job, waited = waiting.until(_what_is_waited_for(), job, seconds)
        response = job_answer(not_gone(job), ledger, public_url)
        return tagged(response, job.version, seconds if waited else 0)

    @routes.get("/<job_id>/events")
    @describe(
        "watchJob",
        "The job's versions as they come, as server-sent events",
        {
            200: Answer(
                "A stream that ends when nothing is left to do, and when the key does.",
                {"text/event-stream": JobEvent},
            ),
            204: Answer("No more will come."),
        },
        (*OWN_JOB_PROBLEMS, "too-many-waiting"),
        description="Each event is a `job` with the job as its data and its version as its id. A client that"
        " comes back with `Last-Event-ID` gets what came behind it.",
        headers=("Last-Event-ID",),
    )
    def events(job_id: str) -> Response:
        return waiting.events(own_job(job_id, ledger), last_event(), g.key_holds)

    @routes.get("/<job_id>/result")
    @describe(
        "getResult",
        "The result alone, as JSON, FHIR or DICOM",
        {200: Answer("The result.", RESULT_FORMATS, ("Vary",))},
        (*ENDED_PROBLEMS, "malformed", "not-acceptable", "object-missing", "too-busy"),
        query=ResultQuery,
        description="The Accept header chooses. DICOM is there where the image was DICOM and names a study.",
    )
    def result(job_id: str) -> Response:
        job = _succeeded_job(job_id, ledger)
        image, overlay = (partial(_stored, read, job, ledger) for read in (ledger.image, draw))
        return result_answer(job, public_url, MEDIA_TYPE[job.image.format], image, overlay)

    @routes.get("/<job_id>/heatmap")
    @describe(
        "getHeatmap",
        "The overlay: the radiograph with what the model looked at",
        {200: Answer("The overlay.", {"image/png": bytes})},
        (*ENDED_PROBLEMS, "object-missing", "too-busy"),
    )
    def heatmap(job_id: str) -> Response:
        job = _succeeded_job(job_id, ledger)
        drawn = _stored(draw, job, ledger)
        return _file(drawn, "image/png", f"{job.id}-overlay.png")

    @routes.get("/<job_id>/deliveries")
    @describe(
        "getDeliveries",
        "Every call of the job's receiver, and what came of it",
        {200: Answer("The calls, first to last.", Deliveries)},
        OWN_JOB_PROBLEMS,
    )
    def deliveries(job_id: str) -> Response:
        deliveries = _stored(ledger.deliveries, own_job(job_id, ledger), ledger)
        return jsonify(deliveries=deliveries)

    @routes.post("/<job_id>/redeliver")
    @describe(
        "redeliverJob",
        "Send the callback once more, with the same webhook-id",
        {202: Answer("The job; its callback is due at once.", JobDocument, RATE_LIMIT)},
        (*OWN_JOB_PROBLEMS, "nothing-to-deliver", "quota-exceeded"),
    )
    def redeliver(job_id: str) -> Response:
        job = redeliveries.of(own_job(job_id, ledger))
        return job_answer(job, ledger, public_url, 202)

    @routes.get("/<job_id>/image")
    @describe(
        "getImage",
        "The radiograph as submitted",
        {200: Answer("The image.", dict.fromkeys(MEDIA_TYPE.values(), bytes))},
        (*OWN_JOB_PROBLEMS, "object-missing"),
    )
    def image(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        suffix = job.image.format.lower()
        pieces = ledger.image_in_pieces(job)
        first = _stored(lambda _: next(pieces), job, ledger)
        answer = _file(chain((first,), pieces), MEDIA_TYPE[job.image.format], f"{job.id}.{suffix}")
        answer.content_length = job.image.size
        return answer

    return routes


def _what_is_waited_for() -> Callable[[Job], bool]:
    """The next version behind those that the client has; without any, and at the latest, the end."""
    seen = remembered()
    return lambda job: job.state.final or (bool(seen) and str(job.version) not in seen)


def _succeeded_job(job_id: str, ledger: Ledger) -> Job:
    job = own_job(job_id, ledger)
    if job.state is State.SUCCEEDED:
        return job
    if job.error:
        raise Problem(409, "job-failed", f"The job failed: {job.error['detail']}", error=job.error)
    detail = f"The job is {job.state}; its result is not there yet. Ask again later."
    raise Problem(409, "not-ready", detail, retry_after=POLL_SECONDS)


def _stored(read: Callable[[Job], T], job: Job, ledger: Ledger) -> T:
    try:
        return read(job)
    except NotStored as error:
        own_job(job.id, ledger)  # Perhaps it has just been deleted.
        log.error("an object of this job is missing", extra={"job": job.id})
        detail = "This file is missing from the object store. Tell the operator, with the job's id."
        raise Problem(500, "object-missing", detail) from error


def _file(data: bytes | Iterator[bytes], media_type: str, name: str) -> Response:
    return Response(
        data, content_type=media_type, headers={"Content-Disposition": f'inline; filename="{name}"'}
    )
