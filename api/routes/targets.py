"""Serves where a radiograph shows fractures in space, as JSON and MCAP, and the JSON Schema of it."""

import hashlib
import json
from typing import Annotated, Any, TypedDict

from flask import Blueprint, Response, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.openapi.describe import Answer, DescribedCallback, describe
from api.openapi.schema import standalone_schema
from api.results.formats import JSON, accepted_format
from api.results.recording import MCAP, recording_of
from api.routes.job_answers import OWN_JOB_PROBLEMS, succeeded_job, targets_now
from jobs.record.events import TARGETS_EVENT
from jobs.store.ledger import Ledger
from jobs.targets.documents import CLOUDEVENTS, MEDIA_TYPE, TargetsDocument
from jobs.targets.events import SCHEMA_PATH, TargetsEvent
from jobs.targets.freshness import LONGEST_VALIDITY_S

_CONTENT_TYPE = f"{MEDIA_TYPE}; version=1"
_FORMATS = (MEDIA_TYPE, JSON, MCAP)


class TargetsQuery(TypedDict, total=False):
    """What a consumer asks of the targets."""

    max_age: Annotated[
        float,
        {"exclusiveMinimum": 0, "maximum": LONGEST_VALIDITY_S},
        "Seconds since the acquisition after which this consumer uses no target: it only shortens.",
    ]


_TARGETS_CHANGED = DescribedCallback(
    "targetsChanged",
    "",
    "The targets of a job",
    {CLOUDEVENTS: TargetsEvent},
    ("webhook-id", "webhook-timestamp", "webhook-signature"),
    {"2XX": "The callback is delivered.", "410": "The service sends no further callback for this event."},
    (TARGETS_EVENT,),
)


def target_routes(ledger: Ledger, target_seconds: int, public_url: str) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("targets", __name__)
    schema = standalone_schema(TargetsDocument, f"{public_url}{SCHEMA_PATH}")
    as_json = json.dumps(schema)

    @routes.get("/v1/jobs/<job_id>/targets")
    @describe(
        "getTargets",
        "Get the targets of a job: rays of space, for robots, and whether they may be used",
        {
            200: Answer(
                "The targets.",
                {
                    _CONTENT_TYPE: TargetsDocument,
                    MCAP: Annotated[
                        bytes, "The ROS 2 messages of the targets, and the JSON as `targets.json`."
                    ],
                },
                ("ETag", "Link", "Vary"),
            ),
            304: Answer("The client has them, and their state has not changed."),
        },
        (*OWN_JOB_PROBLEMS, Slug.NOT_READY, Slug.JOB_FAILED, Slug.MALFORMED, Slug.NOT_ACCEPTABLE),
        query=TargetsQuery,
        headers=("If-None-Match",),
        description="A radiograph gives a ray, not a point. A target is `actionable` only where a signed"
        " report confirms it, its geometry is calibrated and it is fresh; else `blocking_reasons` says why"
        " not. A consumer compares its clock with the header `Date`, and uses nothing where they differ by"
        " more than a second. The Accept header selects the format.",
        callback=_TARGETS_CHANGED,
    )
    def targets(job_id: str) -> Response:
        wanted, max_age_s = accepted_format(_FORMATS), _max_age_s()
        job = succeeded_job(job_id, ledger)
        made = targets_now(job, ledger, target_seconds, max_age_s)
        if wanted == MCAP:
            response = Response(recording_of(made), content_type=MCAP)
            response.headers["Content-Disposition"] = f'attachment; filename="{job.id}.mcap"'
        else:
            response = Response(json.dumps(made), content_type=_CONTENT_TYPE)
        response.set_etag(_tag(made, wanted))
        response.vary.add("Accept")
        response.headers["Link"] = f'<{public_url}{SCHEMA_PATH}>; rel="describedby"'
        response.make_conditional(request)
        return response

    @routes.get(SCHEMA_PATH)
    @describe(
        "targetsSchema",
        "The JSON Schema of targets",
        {200: Answer("The schema, of draft 2020-12.", {"application/schema+json": dict[str, Any]})},
        public=True,
    )
    def targets_schema() -> Response:
        return Response(as_json, content_type="application/schema+json")

    return routes


def _max_age_s() -> float | None:
    given = request.args.get("max_age")
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_VALIDITY_S:
        raise Problem(
            Slug.MALFORMED, f"max_age is a number of seconds, above 0 and up to {LONGEST_VALIDITY_S}."
        )
    return seconds


def _tag(made: TargetsDocument, wanted: str) -> str:
    """Return the ETag: of the format, and of all but the moment at which the document was made."""
    lasting = {name: value for name, value in made.items() if name != "produced_at"}
    return hashlib.sha256(json.dumps([wanted, lasting], sort_keys=True).encode()).hexdigest()[:32]
