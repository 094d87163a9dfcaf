"""Liveness and readiness."""

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
    """That the process runs."""

    status: Literal["live"]


Part = Literal["object-store", "redis"]


class Ready(TypedDict):
    """That submissions are taken."""

    status: Literal["ready"]
    degraded: Annotated[list[Part], "What does not answer: submissions are stored, and wait until it does."]


class NotReady(ProblemDocument):
    """What submissions cannot do without, and what else does not answer."""

    missing: list[Part]
    degraded: list[Part]


def agreed(compatibility: Compatibility) -> None:
    """Return if the stores are known to be this service's own. Raises StoreUnavailable where they are not.

    They are compared at the start already, unless a store was away then.
    """
    try:
        compatibility.check()
    except WrongStore as error:
        log.critical("%s", error)
        raise StoreUnavailable("the object store belongs to another service") from error


def health_routes(ledger: Ledger, compatibility: Compatibility) -> Blueprint:
    """The blueprint of /health."""
    routes = Blueprint("health", __name__, url_prefix="/health")

    def check_objects() -> None:
        agreed(compatibility)
        ledger.objects.check()

    needed: dict[Part, Check] = {"object-store": check_objects}
    helpful: dict[Part, Check] = {"redis": ledger.view.check}

    @routes.get("/live")
    @describe("live", "The process runs", {200: Answer("It does.", Live)}, public=True)
    def live() -> Response:
        return jsonify(status="live")

    @routes.get("/ready")
    @describe(
        "ready",
        "Submissions are taken",
        {
            200: Answer("They are; `degraded` names what does not answer meanwhile.", Ready),
            503: Answer(
                "They are not; `missing` names why.", {"application/problem+json": NotReady}, ("Retry-After",)
            ),
        },
        public=True,
    )
    def ready() -> Response:
        missing, degraded = _silent(needed), _silent(helpful)
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


def _silent(parts: Mapping[Part, Check]) -> list[Part]:
    return [part for part, check in parts.items() if not _answers(check)]


def _answers(check: Check) -> bool:
    try:
        check()
    except (TransientError, NotStored):
        return False
    return True
