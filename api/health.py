"""Liveness and readiness."""

from collections.abc import Callable

from flask import Blueprint, Response, jsonify

from api.problem import RETRY_SECONDS, Problem
from jobs.errors import NotStored, TransientError
from jobs.ledger import Ledger


def health_routes(ledger: Ledger) -> Blueprint:
    """The blueprint of /health."""
    routes = Blueprint("health", __name__, url_prefix="/health")
    parts: dict[str, Callable[[], None]] = {"object-store": ledger.objects.check, "redis": ledger.view.check}

    @routes.get("/live")
    def live() -> Response:
        return jsonify(status="live")

    @routes.get("/ready")
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
