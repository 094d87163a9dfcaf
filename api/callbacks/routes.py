"""Serves /v1/webhook: a client's events, secret, failing receivers, test events and redeliveries."""

import logging
from dataclasses import dataclass
from typing import Annotated

from flask import Blueprint, Response, g, jsonify

from api.callbacks.documents import Choice, NewSecret, Probe, ProbeOrder, Redelivery, Since, WebhookDocument
from api.callbacks.redeliveries import Redeliveries
from api.http.moment import moment
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.scopes import Scope
from api.intake.admission import RATE_LIMIT, Admission
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from jobs.callbacks.signing import webhook_secret
from jobs.callbacks.url import CallbackUrlRefused, parse
from jobs.record.errors import NotStored
from jobs.record.events import EVENTS
from jobs.record.ids import is_id
from jobs.record.job import moment_text, now
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.ledger import Ledger
from jobs.store.probes import Probes
from jobs.store.receivers import Receivers
from jobs.store.webhook_settings import OVERLAP, Webhooks

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebhookContext:
    """What these routes use."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    webhooks: Webhooks
    receivers: Receivers
    probes: Probes
    admission: Admission
    redeliveries: Redeliveries


def webhook_routes(context: WebhookContext) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("webhook", __name__, url_prefix="/v1/webhook")

    @routes.get("")
    @describe(
        "getWebhook",
        "Get the client's events and failing receivers",
        {200: Answer("The settings.", WebhookDocument)},
    )
    def show() -> Response:
        return jsonify(_document(context))

    @routes.patch("")
    @describe(
        "chooseEvents",
        "Choose the events that are sent",
        {200: Answer("The settings.", WebhookDocument)},
        body=Annotated[Choice, CLOSED],
        scope=Scope.ADMIN,
    )
    def choose() -> Response:
        context.webhooks.choose(g.caller.client, sorted(set(json_body()["events"]), key=EVENTS.index))
        return jsonify(_document(context))

    @routes.post("/rotate")
    @describe(
        "rotateSecret",
        "Rotate the secret. The previous one signs as well for 24 hours",
        {200: Answer("The new secret, shown this once.", NewSecret)},
        scope=Scope.ADMIN,
    )
    def rotate() -> Response:
        at = now()
        chosen = context.webhooks.rotate(g.caller.client, at)
        log.info("webhook secret rotated", extra={"client": g.caller.client})
        return jsonify(
            secret=webhook_secret(context.settings.signing_key, g.caller.client, chosen.generation),
            previous_secret_signs_until=moment_text(at + OVERLAP),
        )

    @routes.post("/probes")
    @describe(
        "sendProbe",
        "Send a test event. A receiver that accepts it is enabled again",
        {202: Answer("The probe. Its delivery is shown at its Location.", Probe, ("Location", *RATE_LIMIT))},
        (Slug.CALLBACK_REFUSED, Slug.QUOTA_EXCEEDED),
        body=ProbeOrder,
    )
    def send_probe() -> Response:
        try:
            url = parse(json_body()["callback_url"], context.settings.callback_exceptions).url
        except CallbackUrlRefused as error:
            raise Problem(Slug.CALLBACK_REFUSED, f"{error}.") from error
        g.headers = context.admission.admit_callbacks(g.caller.client)
        probe_id = context.probes.create(g.caller.client, url)
        context.queue.probe(g.caller.client, probe_id)
        response = jsonify(context.probes.read(g.caller.client, probe_id))
        response.status_code = 202
        response.headers["Location"] = f"{context.settings.public_url}/v1/webhook/probes/{probe_id}"
        return response

    @routes.get("/probes/<probe_id>")
    @describe(
        "getProbe",
        "Get the outcome of a test event",
        {200: Answer("The probe.", Probe)},
        (Slug.NO_SUCH_PROBE,),
    )
    def show_probe(probe_id: str) -> Response:
        try:
            if is_id("probe", probe_id):
                return jsonify(context.probes.read(g.caller.client, probe_id))
        except NotStored:
            pass
        raise Problem(Slug.NO_SUCH_PROBE, "There is no such test event of this client. Send a new one.")

    @routes.post("/redeliver")
    @describe(
        "redeliverSince",
        "Send the callbacks of all jobs made since a time again",
        {202: Answer("The number of callbacks, and a cursor if there are more.", Redelivery, RATE_LIMIT)},
        (Slug.QUOTA_EXCEEDED,),
        body=Annotated[Since, CLOSED],
    )
    def redeliver() -> Response:
        given = json_body()
        since, cursor = moment("since", given["since"]), given.get("cursor")
        if cursor is not None and not is_id("job", cursor):
            raise Problem(Slug.MALFORMED, "`cursor` is the `next_cursor` of an earlier answer.")
        count, next_cursor = context.redeliveries.since(g.caller.client, since, cursor)
        response = jsonify(redelivered=count, next_cursor=next_cursor)
        response.status_code = 202
        return response

    return routes


def _document(context: WebhookContext) -> WebhookDocument:
    chosen = context.webhooks.of(g.caller.client)
    return {
        "events": list(chosen.events),
        "known_events": list(EVENTS),
        "secret_rotated_at": moment_text(chosen.rotated_at) if chosen.rotated_at else None,
        "failing_receivers": [
            {
                "origin": receiver.origin,
                "failing_since": moment_text(receiver.failing_since) if receiver.failing_since else None,
                "disabled_at": moment_text(receiver.disabled_at) if receiver.disabled_at else None,
            }
            for receiver in context.receivers.failing(g.caller.client)
        ],
    }
