"""Serves /v1/studies: several views of one bone, submitted, read and deleted as one."""

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Literal, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from api.callbacks.redeliveries import Deliveries, Redeliveries
from api.http.problem_kinds import Slug
from api.intake.accept import Intake, done_with_body
from api.intake.admission import RATE_LIMIT
from api.intake.idempotency import claim_key
from api.intake.study import StudyForm, read_study
from api.intake.submission import SUBMISSION_PROBLEMS
from api.openapi.describe import Answer, Size, describe, event_callback
from api.routes.job_answers import POLL_SECONDS
from api.routes.study_answers import not_gone, own_study, snapshot_of, study_answer
from api.routes.waiting import Snapshot, Waiting, known_versions, last_event_id, preferred_wait, with_etag
from jobs.lifecycle.deletion import delete
from jobs.record.errors import IllegalMove, NotStored, TransientError
from jobs.record.events import STUDY_EVENTS
from jobs.record.job import Job
from jobs.record.study import MOST_IMAGES, StudyDocument, StudyEvent

log = logging.getLogger(__name__)

_FORM = (
    f"A multipart form with up to {MOST_IMAGES} images. All are accepted or none. If one is refused,"
    " `image` in the problem is its number, from 1. Each image becomes a job with the fields of the form, and"
    " is kept as long as the study. There is one callback, for the study, when all jobs have ended."
)
PROBLEMS = (
    *SUBMISSION_PROBLEMS,
    *(Slug.REQUEST_ENTITY_TOO_LARGE, Slug.UNSUPPORTED_MEDIA_TYPE, Slug.QUOTA_EXCEEDED, Slug.TOO_MANY_WAITING),
    *(Slug.QUEUE_FULL, Slug.TOO_BUSY, Slug.IN_INTAKE, Slug.KEY_REUSED, Slug.GONE),
)
_OWN_STUDY_PROBLEMS = (Slug.NO_SUCH_STUDY, Slug.GONE)
_STUDY_ENDED = event_callback(
    "studyEnded", "All views of the study have ended", StudyEvent, "this study", STUDY_EVENTS
)
_WAITED = ("Location", "Preference-Applied", "Idempotency-Replayed", "Idempotency-Expires")
_HEADERS = (*_WAITED, "Retry-After")


class StudyChange(TypedDict):
    """One server-sent event of a study."""

    id: Annotated[str, "The version, which grows with every change of the study or one of its jobs."]
    event: Literal["study"]
    data: Annotated[str, "The study, as JSON."]


def study_routes(intake: Intake, redeliveries: Redeliveries, waiting: Waiting) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("studies", __name__, url_prefix="/v1/studies")
    ledger, public_url = intake.ledger, intake.settings.public_url
    snapshot = partial(snapshot_of, ledger=ledger, public_url=public_url)

    @routes.post("")
    @describe(
        "submitStudy",
        "Submit several views of one bone",
        {
            200: Answer(
                "The study was accepted, and has ended.",
                StudyDocument,
                (*_WAITED, *RATE_LIMIT),
            ),
            202: Answer("The study was accepted and stored.", StudyDocument, (*_HEADERS, *RATE_LIMIT)),
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
        "Get a study: its summary, and each of its views",
        {
            200: Answer("The study.", StudyDocument, ("ETag", "Preference-Applied")),
            304: Answer("The study has not changed."),
        },
        _OWN_STUDY_PROBLEMS,
        description="With `Prefer: wait=N` the answer is sent when the study has ended, or after N seconds."
        " With `If-None-Match` as well, it is sent as soon as the study or one of its jobs has changed.",
        headers=("If-None-Match", "Prefer"),
    )
    def show(study_id: str) -> Response:
        study, seconds, waited = own_study(study_id, ledger), preferred_wait(request), False
        if seconds:
            study, waited = waiting.until(_awaited(snapshot), study, seconds)
        found = snapshot(not_gone(study))
        return with_etag(jsonify(found.document()), found.version, seconds if waited else 0)

    @routes.get("/<study_id>/events")
    @describe(
        "watchStudy",
        "Stream the versions of a study as server-sent events",
        {
            200: Answer(
                "The stream. It ends when nothing is left to do for the study, and when the key ends.",
                {"text/event-stream": StudyChange},
            ),
            204: Answer("No further event will come."),
        },
        (*_OWN_STUDY_PROBLEMS, Slug.TOO_MANY_WAITING),
        description="Each event is a `study` with the study as its data. A client that reconnects with"
        " `Last-Event-ID` gets the versions after it.",
        headers=("Last-Event-ID",),
    )
    def events(study_id: str) -> Response:
        return waiting.events(own_study(study_id, ledger), last_event_id(), g.key_holds, "study", snapshot)

    @routes.get("/<study_id>/deliveries")
    @describe(
        "getStudyDeliveries",
        "List the deliveries of the study's callback",
        {200: Answer("The calls of the receiver and their outcomes, first to last.", Deliveries)},
        _OWN_STUDY_PROBLEMS,
    )
    def deliveries(study_id: str) -> Response:
        study = own_study(study_id, ledger)
        try:
            return jsonify(deliveries=ledger.deliveries(study))
        except NotStored:
            own_study(study_id, ledger)  # Raises 410 if the study has just been deleted.
            raise

    @routes.post("/<study_id>/redeliver")
    @describe(
        "redeliverStudy",
        "Send the study's callback again, with the same webhook-id",
        {202: Answer("The study. Its callback will be sent at once.", StudyDocument, RATE_LIMIT)},
        (*_OWN_STUDY_PROBLEMS, Slug.NOTHING_TO_DELIVER, Slug.QUOTA_EXCEEDED),
    )
    def redeliver(study_id: str) -> Response:
        study = redeliveries.of(own_study(study_id, ledger))
        return study_answer(study, ledger, public_url, 202)

    @routes.delete("/<study_id>")
    @describe(
        "deleteStudy",
        "Delete a study with all of its jobs",
        {204: Answer("The study was deleted.")},
        _OWN_STUDY_PROBLEMS,
        description="Each of its jobs is deleted as by `deleteJob`. No callback is sent.",
    )
    def erase(study_id: str) -> Response:
        study = own_study(study_id, ledger)
        with suppress(IllegalMove):  # Another request has just deleted it.
            delete(study.id, ledger)
        log.info("study deleted", extra={"job": study.id, "client": g.caller.client})
        return Response(status=204)

    return routes


def _awaited(snapshot: Callable[[Job], Snapshot]) -> Callable[[Job], bool]:
    """Return the condition to wait for: a version that the client does not have, or the end of the study."""
    seen = known_versions()
    return lambda study: study.state.final or (bool(seen) and str(snapshot(study).version) not in seen)
