"""Answers whether the process runs, and whether submissions are accepted."""

import logging
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Literal, TypedDict

from flask import Blueprint, Response, jsonify

from api.http.problem import RETRY_SECONDS, Problem, ProblemDocument
from api.http.problem_kinds import Slug
from api.openapi.describe import Answer, describe
from jobs.record.errors import NotStored, StoreUnavailable, TransientError
from jobs.store.compatibility import Compatibility, WrongStore
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

Check = Callable[[], None]


class Live(TypedDict):
    """The answer of a running process."""

    status: Literal["live"]


Part = Literal["object-store", "redis"]


class Ready(TypedDict):
    """The answer while submissions are accepted."""

    status: Literal["ready"]
    degraded: Annotated[list[Part], "Parts that do not answer. Submissions are stored, and wait for them."]


class NotReady(ProblemDocument):
    """The parts that do not answer: `missing` are needed for submissions, `degraded` are not."""

    missing: list[Part]
    degraded: list[Part]


def check_compatibility(compatibility: Compatibility) -> None:
    """Check that both stores belong to this service. Raises StoreUnavailable for another one's store.

    The start of the process checks it as well, unless a store does not answer then.
    """
    try:
        compatibility.check()
    except WrongStore as error:
        log.critical("%s", error)
        raise StoreUnavailable("the object store belongs to another service") from error


def health_routes(ledger: Ledger, compatibility: Compatibility) -> Blueprint:
    """Make the blueprint of /health."""
    routes = Blueprint("health", __name__, url_prefix="/health")

    def check_objects() -> None:
        check_compatibility(compatibility)
        ledger.objects.check()

    needed: dict[Part, Check] = {"object-store": check_objects}
    helpful: dict[Part, Check] = {"redis": ledger.view.check}

    @routes.get("/live")
    @describe("live", "Whether the process runs", {200: Answer("The process runs.", Live)}, public=True)
    def live() -> Response:
        return jsonify(status="live")

    @routes.get("/ready")
    @describe(
        "ready",
        "Whether submissions are accepted",
        {
            200: Answer("Submissions are accepted. `degraded` names the parts that do not answer.", Ready),
            503: Answer(
                "No submission is accepted. `missing` names the parts that do not answer.",
                {"application/problem+json": NotReady},
                ("Retry-After",),
            ),
        },
        public=True,
    )
    def ready() -> Response:
        missing, degraded = _without_answer(needed), _without_answer(helpful)
        if missing:
            detail = f"No submissions are taken: {' and '.join(missing)} did not answer. Send them later."
            raise Problem(
                Slug.NOT_READY,
                detail,
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                retry_after=RETRY_SECONDS,
                missing=missing,
                degraded=degraded,
            )
        return jsonify(status="ready", degraded=degraded)

    return routes


def _without_answer(parts: Mapping[Part, Check]) -> list[Part]:
    return [part for part, check in parts.items() if not _answers(check)]


def _answers(check: Check) -> bool:
    try:
        check()
    except (TransientError, NotStored):
        return False
    return True
