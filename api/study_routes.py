"""The routes under /v1/studies: several views of one bone, submitted, asked for and deleted as one."""

import logging
from contextlib import suppress

from flask import Blueprint, Response, g, jsonify, request

from api.admission import RATE_LIMIT
from api.description import Answer, Callback, Size, describe
from api.intake import Intake
from api.job_answer import POLL_SECONDS
from api.job_documents import Deliveries
from api.problem import Problem
from api.redeliveries import Redeliveries
from api.repeats import claim_place
from api.study_submission import MOST_IMAGES, StudyForm, read_study
from api.submission import SUBMISSION_PROBLEMS
from jobs.deletion import delete
from jobs.errors import IllegalMove, NotStored
from jobs.ids import is_id
from jobs.job import Job
from jobs.ledger import Ledger
from jobs.states import State
from jobs.study import StudyDocument, StudyEvent, study_document

log = logging.getLogger(__name__)

_FORM = (
    f"A multipart form with up to {MOST_IMAGES} images. All are accepted or none; where one is refused,"
    " `image` in the problem is its place, from 1. Each becomes a job with the fields of the form, and is"
    " kept for as long as the study; there is one callback, for the study, when all have ended."
)
PROBLEMS = (
    *SUBMISSION_PROBLEMS,
    *("request-entity-too-large", "unsupported-media-type", "quota-exceeded", "too-many-waiting"),
    *("queue-full", "too-busy", "in-intake", "key-reused", "gone"),
)
OWN_STUDY_PROBLEMS = ("no-such-study", "gone")
STUDY_ENDED = Callback(
    "studyEnded",
    "{$request.body#/callback_url}",
    "All views of the study have ended",
    StudyEvent,
    ("webhook-id", "webhook-timestamp", "webhook-signature"),
    {"2XX": "Delivered.", "410": "No more callbacks for this study."},
)
_HEADERS = ("Location", "Retry-After", "Idempotency-Replayed", "Idempotency-Expires")


def study_routes(intake: Intake, redeliveries: Redeliveries) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("studies", __name__, url_prefix="/v1/studies")
    ledger, public_url = intake.ledger, intake.settings.public_url

    @routes.post("")
    @describe(
        "submitStudy",
        "Submit several views of one bone",
        {202: Answer("Accepted and durable.", StudyDocument, (*_HEADERS, *RATE_LIMIT))},
        PROBLEMS,
        description=_FORM,
        headers=("Idempotency-Key", "traceparent"),
        body={"multipart/form-data": StudyForm},
        size=Size.STUDY,
        callback=STUDY_ENDED,
    )
    def submit() -> Response:
        place = claim_place(request, g.client, None)
        intake.admit(g.client, place)
        pictures = read_study(request, g.client, intake.settings, intake.pictures)
        for _ in pictures[1:]:
            intake.admit(g.client, place)
        study, headers = intake.accept_study(pictures, g.client, place)
        response = jsonify(_document(_not_gone(study), ledger, public_url))
        response.status_code = 202
        response.headers.update(headers)
        response.headers["Location"] = f"{public_url}/v1/studies/{study.id}"
        response.headers["Retry-After"] = str(POLL_SECONDS)
        return response

    @routes.get("/<study_id>")
    @describe(
        "getStudy",
        "The study: its summary, and each of its views",
        {200: Answer("The study.", StudyDocument)},
        OWN_STUDY_PROBLEMS,
    )
    def show(study_id: str) -> Response:
        return jsonify(_document(_own_study(study_id, ledger), ledger, public_url))

    @routes.get("/<study_id>/deliveries")
    @describe(
        "getStudyDeliveries",
        "Every call of the study's receiver, and what came of it",
        {200: Answer("The calls, first to last.", Deliveries)},
        OWN_STUDY_PROBLEMS,
    )
    def deliveries(study_id: str) -> Response:
        study = _own_study(study_id, ledger)
        try:
            return jsonify(deliveries=ledger.deliveries(study))
        except NotStored:
            _own_study(study_id, ledger)  # It has just been deleted.
            raise

    @routes.post("/<study_id>/redeliver")
    @describe(
        "redeliverStudy",
        "Send the callback once more, with the same webhook-id",
        {202: Answer("The study; its callback is due at once.", StudyDocument, RATE_LIMIT)},
        (*OWN_STUDY_PROBLEMS, "nothing-to-deliver", "quota-exceeded"),
    )
    def redeliver(study_id: str) -> Response:
        study = redeliveries.of(_own_study(study_id, ledger))
        response = jsonify(_document(study, ledger, public_url))
        response.status_code = 202
        return response

    @routes.delete("/<study_id>")
    @describe(
        "deleteStudy",
        "Delete a study with all of its jobs",
        {204: Answer("Deleted.")},
        OWN_STUDY_PROBLEMS,
        description="As each of its jobs is deleted by itself; no callback is sent.",
    )
    def erase(study_id: str) -> Response:
        study = _own_study(study_id, ledger)
        with suppress(IllegalMove):  # Another request was faster.
            delete(study.id, ledger)
        log.info("study deleted", extra={"job": study.id, "client": g.client})
        return Response(status=204)

    return routes


def _own_study(study_id: str, ledger: Ledger) -> Job:
    """The record of the authenticated client's study. Raises Problem: 404, or 410 where it was deleted."""
    if is_id("study", study_id):
        with suppress(NotStored):
            study = ledger.current(study_id)
            if study.client == g.client:
                return _not_gone(study)
    detail = "There is no such study. Check the id, and that the key is this client's."
    raise Problem(404, "no-such-study", detail)


def _not_gone(study: Job) -> Job:
    if study.state is State.ERASED:
        raise Problem(410, "gone", "This study was deleted, with all that belonged to it.")
    return study


def _document(study: Job, ledger: Ledger, public_url: str) -> StudyDocument:
    return study_document(study, ledger.current_many(study.members), public_url)
