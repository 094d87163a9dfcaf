"""Liveness and readiness."""

from collections.abc import Callable
from typing import Literal, TypedDict

from flask import Blueprint, Response, jsonify

from api.description import Answer, describe
from api.problem import RETRY_SECONDS, Problem, ProblemDocument
from jobs.errors import NotStored, TransientError
from jobs.ledger import Ledger


class Live(TypedDict):
    """That the process runs."""

    status: Literal["live"]


class Ready(TypedDict):
    """That the service can do its work."""

    status: Literal["ready"]


class NotReady(ProblemDocument):
    """Which parts do not answer."""

    missing: list[Literal["object-store", "redis"]]


def health_routes(ledger: Ledger) -> Blueprint:
    """The blueprint of /health."""
    routes = Blueprint("health", __name__, url_prefix="/health")
    parts: dict[str, Callable[[], None]] = {"object-store": ledger.objects.check, "redis": ledger.view.check}

    @routes.get("/live")
    @describe("live", "The process runs", {200: Answer("It does.", Live)}, public=True)
    def live() -> Response:
        return jsonify(status="live")

    @routes.get("/ready")
    @describe(
        "ready",
        "The object store and Redis answer",
        {
            200: Answer("They do.", Ready),
            503: Answer(
                "One does not; `missing` names it.", {"application/problem+json": NotReady}, ("Retry-After",)
            ),
        },
        public=True,
    )
    def ready() -> Response:
        missing = [name for name, check in parts.items() if not _answers(check)]
        if missing:
            detail = f"Not ready: {' and '.join(missing)} did not answer."
            raise Problem(503, "not-ready", detail, retry_after=RETRY_SECONDS, missing=missing)
        return jsonify(status="ready")

    return routes


def _answers(check: Callable[[], None]) -> bool:
    try:
        check()
    except (TransientError, NotStored):
        return False
    return True
