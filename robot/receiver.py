"""Receives the service's callbacks over HTTP, and accepts those alone that it has signed."""

import logging

from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from standardwebhooks import Webhook, WebhookVerificationError

from jobs.record.events import TARGETS_EVENT
from jobs.trace import read_traceparent
from robot.event import NotTargets, VerifiedTargets, type_of, verified_targets
from robot.metrics import REGISTRY
from robot.relay import Outcome, Relay

log = logging.getLogger(__name__)

MOST_BYTES = 2**20
"""Most bytes of a callback."""
_SEND_AGAIN = (Outcome.REFUSED, Outcome.NOT_TAKEN)


def receiver(relay: Relay, secret: str) -> Flask:
    """Make the WSGI application. Raises ValueError for a secret of another form."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    signature = Webhook(secret)

    @app.post("/callback")
    def callback() -> Response:
        body = request.get_data()
        try:
            signature.verify(body, dict(request.headers), json_parse=False)
        except (WebhookVerificationError, ValueError):
            log.warning("a callback was not signed with this secret in the last five minutes: refused")
            return Response(status=401)
        try:
            if type_of(body) != TARGETS_EVENT:
                return Response(status=204)
            event = _event(body)
        except NotTargets as error:
            log.error("a signed event cannot be read: %s", error)
            return Response(status=422)
        if relay.take(event) in _SEND_AGAIN:
            # Not 503: the service would take this receiver for one that is down, and hold back withdrawals.
            return Response(status=429, headers={"Retry-After": "5"})
        return Response(status=204)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(REGISTRY), content_type=CONTENT_TYPE_LATEST)

    return app


def _event(body: bytes) -> VerifiedTargets:
    traceparent = request.headers.get("traceparent")  # Not signed.
    event = verified_targets(body, traceparent if read_traceparent(traceparent) else None)
    if event.id != request.headers.get("webhook-id"):
        raise NotTargets("its id is not the webhook-id")
    return event
