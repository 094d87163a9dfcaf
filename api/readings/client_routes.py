"""Serves the readings of a client's jobs: request, list, read and cancel."""

import hashlib
from typing import Annotated, TypedDict

from flask import Blueprint, Response, g, jsonify

from api.http.problem_kinds import Slug
from api.intake.fields import MOST_DUE, MOST_QUESTION, callback_url_of, question_of
from api.openapi.describe import Answer, describe, event_callback
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from api.readings.actions import ReadingActions
from api.routes.job_answers import OWN_JOB_PROBLEMS, own_job
from jobs.callbacks.url import MAX_LENGTH
from jobs.reading.documents import ReadingDocument, reading_document
from jobs.reading.events import ReadingEvent
from jobs.reading.reading import Reading
from jobs.record.events import READING_EVENTS
from jobs.record.job import now
from jobs.record.states import Priority
from jobs.settings import Settings


class ReadingRequest(TypedDict, total=False):
    """What a client asks of a reader."""

    priority: Annotated[Priority, "That of the job, unless given."]
    due_seconds: Annotated[
        int,
        {"minimum": 60, "maximum": MOST_DUE},
        "When it is due, from now: 3600 for `stat`, 86400 for `routine` and 604800 for `archive`,"
        " unless given.",
    ]
    callback_url: Annotated[
        str,
        {"format": "uri", "maxLength": MAX_LENGTH},
        "The https URL that is called as the reading goes on: that of the job, unless given.",
    ]
    question: Annotated[str, {"maxLength": MOST_QUESTION}, "What the reader is to answer."]


class ReadingList(TypedDict):
    """Readings."""

    readings: list[ReadingDocument]


_READING_CHANGED = event_callback(
    "readingChanged", "The reading has changed", ReadingEvent, "this event", READING_EVENTS
)


def client_reading_routes(actions: ReadingActions, settings: Settings) -> Blueprint:
    """Make the blueprint of these routes."""
    public_url = settings.public_url
    routes = Blueprint("client_readings", __name__, url_prefix="/v1")

    @routes.post("/jobs/<job_id>/readings")
    @describe(
        "requestReading",
        "Have a person read the radiograph of a job",
        {
            200: Answer("A reading of this job is open already.", ReadingDocument, ("ETag", "Location")),
            201: Answer("The new reading.", ReadingDocument, ("ETag", "Location")),
        },
        (
            *(*OWN_JOB_PROBLEMS, Slug.NOT_READ, Slug.CALLBACK_REFUSED, Slug.JOB_FAILED),
            Slug.TOO_MANY_READINGS,
        ),
        description="An open reading of the job is returned as it is. Each change is told by a callback,"
        " which has links and no word of the report.",
        callback=_READING_CHANGED,
        body=Annotated[ReadingRequest, CLOSED],
        body_required=False,
    )
    def request_reading(job_id: str) -> Response:
        job, given = own_job(job_id, actions.ledger), json_body()
        reading, new = actions.request(
            job,
            priority=given.get("priority"),
            due_seconds=given.get("due_seconds"),
            question=question_of(given.get("question")),
            callback_url=callback_url_of(given.get("callback_url"), settings),
        )
        response = reading_answer(reading, public_url, 201 if new else 200)
        response.headers["Location"] = f"{public_url}/v1/readings/{reading.id}"
        return response

    @routes.get("/jobs/<job_id>/readings")
    @describe(
        "listReadingsOfJob",
        "List the readings of a job, oldest first",
        {200: Answer("The readings.", ReadingList)},
        OWN_JOB_PROBLEMS,
    )
    def list_of_job(job_id: str) -> Response:
        job, at = own_job(job_id, actions.ledger), now()
        found = actions.readings.of_job(job.id)
        return jsonify(readings=[reading_document(reading, at, public_url) for reading in found])

    @routes.post("/readings/<reading_id>/cancel")
    @describe(
        "cancelReading",
        "Cancel a reading that is not signed",
        {200: Answer("The canceled reading.", ReadingDocument, ("ETag",))},
        (Slug.NO_SUCH_READING, Slug.READING_MOVED),
    )
    def cancel(reading_id: str) -> Response:
        reading = actions.of_client(reading_id, g.caller.client)
        return reading_answer(actions.cancel(reading), public_url)

    return routes


def reading_answer(reading: Reading, public_url: str, status: int = 200) -> Response:
    """Make an answer of a reading, as its client sees it."""
    response = jsonify(reading_document(reading, now(), public_url))
    response.status_code = status
    name_version(response, reading)
    return response


def name_version(response: Response, reading: Reading) -> None:
    """Add an ETag: the version, which a change of the draft has to match, and a hash of what is shown."""
    response.set_etag(f"{reading.version}.{hashlib.sha256(response.data).hexdigest()[:16]}")
