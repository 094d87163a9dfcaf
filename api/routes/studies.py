"""The routes under /v1/studies: several views of one bone, submitted, asked for and deleted as one."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from api.http.problem_kinds import Slug
from api.intake.accept import Intake, done_with_body
from api.intake.admission import RATE_LIMIT
from api.intake.idempotency import claim_key
from api.intake.study import MOST_IMAGES, StudyForm, read_study
from api.intake.submission import SUBMISSION_PROBLEMS
from api.openapi.describe import Answer, DescribedCallback, Size, describe
from api.routes.job_answers import POLL_SECONDS
from api.routes.redeliveries import Deliveries, Redeliveries
from api.routes.study_answers import not_gone, own_study, study_answer, told_of
from api.routes.waiting import Told, Waiting, last_event, preferred_wait, remembered, tagged
from jobs.lifecycle.deletion import delete
from jobs.record.errors import IllegalMove, NotStored, TransientError
from jobs.record.job import Job
from jobs.record.study import StudyDocument, StudyEvent

log = logging.getLogger(__name__)

_FORM = (
    f"A multipart form with up to {MOST_IMAGES} images. All are accepted or none; where one is refused,"
    " `image` in the problem is its place, from 1. Each becomes a job with the fields of the form, and is"
    " kept for as long as the study; there is one callback, for the study, when all have ended."
)
PROBLEMS = (
    *SUBMISSION_PROBLEMS,
    *(Slug.REQUEST_ENTITY_TOO_LARGE, Slug.UNSUPPORTED_MEDIA_TYPE, Slug.QUOTA_EXCEEDED, Slug.TOO_MANY_WAITING),
    *(Slug.QUEUE_FULL, Slug.TOO_BUSY, Slug.IN_INTAKE, Slug.KEY_REUSED, Slug.GONE),
)
_OWN_STUDY_PROBLEMS = (Slug.NO_SUCH_STUDY, Slug.GONE)
_STUDY_ENDED = DescribedCallback(
    "studyEnded",
    "{$request.body#/callback_url}",
    "All views of the study have ended",
    StudyEvent,
    ("webhook-id", "webhook-timestamp", "webhook-signature"),
    {"2XX": "Delivered.", "410": "No more callbacks for this study."},
)
_WAITED = ("Location", "Preference-Applied", "Idempotency-Replayed", "Idempotency-Expires")
_HEADERS = (*_WAITED, "Retry-After")


class StudyChange(TypedDict):
    """One server-sent event of a study."""

    id: Annotated[str, "Grows with every change of the study or one of its jobs."]
    event: Literal["study"]
    data: Annotated[str, "The study, as JSON."]


def study_routes(intake: Intake, redeliveries: Redeliveries, waiting: Waiting) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("studies", __name__, url_prefix="/v1/studies")
    ledger, public_url = intake.ledger, intake.settings.public_url
    tell = partial(told_of, ledger=ledger, public_url=public_url)

    @routes.post("")
    @describe(
        "submitStudy",
        "Submit several views of one bone",
        {
            200: Answer("Accepted, and ended within the wait.", StudyDocument, (*_WAITED, *RATE_LIMIT)),
            202: Answer("Accepted and durable.", StudyDocument, (*_HEADERS, *RATE_LIMIT)),
        },
        PROBLEMS,
        description=_FORM,
        headers=("Idempotency-Key", "Prefer", "traceparent"),
        body={"multipart/form-data": StudyForm},
        size=Size.STUDY,
        callback=_STUDY_ENDED,
    )
    def submit() -> Response:
        key = claim_key(request, g.caller.client, None)
        g.headers = intake.admit(g.caller, key)
        pictures = read_study(request, g.caller.client, intake.settings, intake.pictures)
        for _ in pictures[1:]:
            g.headers = intake.admit(g.caller, key)
        accepted = intake.accept_study(pictures, g.caller, key)
        study = accepted.job
        done_with_body()
        seconds, waited = preferred_wait(request), False
        if seconds:
            with suppress(TransientError):  # The submission is accepted even if the wait fails.
                study, waited = waiting.until(lambda study: study.state.final, study, seconds)
        ended = waited and study.state.final
        response = study_answer(not_gone(study), ledger, public_url, 200 if ended else 202)
        response.headers.update(accepted.headers)
        response.headers["Location"] = f"{public_url}/v1/studies/{study.id}"
        if waited:
            response.headers["Preference-Applied"] = f"wait={seconds}"
        if not ended:
            response.headers["Retry-After"] = str(POLL_SECONDS)
        return response

    @routes.get("/<study_id>")
    @describe(
        "getStudy",
        "The study: its summary, and each of its views",
        {
            200: Answer("The study.", StudyDocument, ("ETag", "Preference-Applied")),
            304: Answer("Nothing has changed."),
        },
        _OWN_STUDY_PROBLEMS,
        description="With `Prefer: wait=N` and `If-None-Match` it is answered when the study or one of its"
        " jobs has changed, or after N seconds; without `If-None-Match`, and at the latest, when it has"
        " ended.",
        headers=("If-None-Match", "Prefer"),
    )
    def show(study_id: str) -> Response:
        study, seconds, waited = own_study(study_id, ledger), preferred_wait(request), False
        if seconds:
            study, waited = waiting.until(_what_is_waited_for(tell), study, seconds)
        told = tell(not_gone(study))
        return tagged(jsonify(told.document()), told.version, seconds if waited else 0)

    @routes.get("/<study_id>/events")
    @describe(
        "watchStudy",
        "The study as it changes, with each change of its jobs, as server-sent events",
        {
            200: Answer(
                "A stream that ends when nothing is left to do, and when the key does.",
                {"text/event-stream": StudyChange},
            ),
            204: Answer("No more will come."),
        },
        (*_OWN_STUDY_PROBLEMS, Slug.TOO_MANY_WAITING),
        description="Each event is a `study` with the study as its data. A client that comes back with"
        " `Last-Event-ID` gets what came behind it.",
        headers=("Last-Event-ID",),
    )
    def events(study_id: str) -> Response:
        return waiting.events(own_study(study_id, ledger), last_event(), g.key_holds, "study", tell)

    @routes.get("/<study_id>/deliveries")
    @describe(
        "getStudyDeliveries",
        "Every call of the study's receiver, and what came of it",
        {200: Answer("The calls, first to last.", Deliveries)},
        _OWN_STUDY_PROBLEMS,
    )
    def deliveries(study_id: str) -> Response:
        study = own_study(study_id, ledger)
        try:
            return jsonify(deliveries=ledger.deliveries(study))
        except NotStored:
            own_study(study_id, ledger)  # It has just been deleted.
            raise

    @routes.post("/<study_id>/redeliver")
    @describe(
        "redeliverStudy",
        "Send the callback once more, with the same webhook-id",
        {202: Answer("The study; its callback is due at once.", StudyDocument, RATE_LIMIT)},
        (*_OWN_STUDY_PROBLEMS, Slug.NOTHING_TO_DELIVER, Slug.QUOTA_EXCEEDED),
    )
    def redeliver(study_id: str) -> Response:
        study = redeliveries.of(own_study(study_id, ledger))
        return study_answer(study, ledger, public_url, 202)

    @routes.delete("/<study_id>")
    @describe(
        "deleteStudy",
        "Delete a study with all of its jobs",
        {204: Answer("Deleted.")},
        _OWN_STUDY_PROBLEMS,
        description="As each of its jobs is deleted by itself; no callback is sent.",
    )
    def erase(study_id: str) -> Response:
        study = own_study(study_id, ledger)
        with suppress(IllegalMove):  # Another request was faster.
            delete(study.id, ledger)
        log.info("study deleted", extra={"job": study.id, "client": g.caller.client})
        return Response(status=204)

    return routes


def _what_is_waited_for(tell: Callable[[Job], Told]) -> Callable[[Job], bool]:
    """The next version behind those that the client has; without any, and at the latest, the end."""
    seen = remembered()
    return lambda study: study.state.final or (bool(seen) and str(tell(study).version) not in seen)
