"""The routes under /v1/webhook: what a client's callbacks are signed with, which it gets, and who fails."""

import logging
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Annotated

from flask import Blueprint, Response, g, jsonify

from api.description import Answer, describe
from api.json_body import json_body
from api.moment import moment
from api.problem import Problem
from api.schema import CLOSED
from api.scope import Scope
from api.webhook_documents import Choice, NewSecret, Probe, ProbeOrder, Redelivery, Since, WebhookDocument
from jobs.callback_url import CallbackRefused, parse
from jobs.errors import Conflict, NotStored, QueueUnavailable
from jobs.ids import is_id, made_at
from jobs.job import Job, moment_text, now
from jobs.ledger import Ledger
from jobs.probes import Probes
from jobs.queue import JobQueue
from jobs.receivers import Receivers
from jobs.settings import Settings
from jobs.webhook import EVENTS, OVERLAP, Webhooks, webhook_secret

log = logging.getLogger(__name__)

MOST_LOOKED_AT = 500
"""Jobs that one request lets be delivered again; the cursor goes on behind them."""


@dataclass(frozen=True)
class Desk:
    """What the routes work with."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    webhooks: Webhooks
    receivers: Receivers
    probes: Probes


def webhook_routes(desk: Desk) -> Blueprint:
    """The blueprint of these routes. `g.client` holds the authenticated client."""
    routes = Blueprint("webhook", __name__, url_prefix="/v1/webhook")

    @routes.get("")
    @describe(
        "getWebhook",
        "This client's events, and which of its receivers fail",
        {200: Answer("The settings.", WebhookDocument)},
    )
    def show() -> Response:
        return jsonify(_document(desk))

    @routes.patch("")
    @describe(
        "chooseEvents",
        "Choose the events that are sent",
        {200: Answer("The settings.", WebhookDocument)},
        body=Annotated[Choice, CLOSED],
        scope=Scope.ADMIN,
    )
    def choose() -> Response:
        desk.webhooks.choose(g.client, sorted(set(json_body()["events"]), key=EVENTS.index))
        return jsonify(_document(desk))

    @routes.post("/rotate")
    @describe(
        "rotateSecret",
        "A new secret; for 24 hours the one before signs as well",
        {200: Answer("The secret, shown this once.", NewSecret)},
        scope=Scope.ADMIN,
    )
    def rotate() -> Response:
        at = now()
        chosen = desk.webhooks.rotate(g.client, at)
        log.info("webhook secret rotated", extra={"client": g.client})
        return jsonify(
            secret=webhook_secret(desk.settings.signing_key, g.client, chosen.generation),
            previous_secret_signs_until=moment_text(at + OVERLAP),
        )

    @routes.post("/probes")
    @describe(
        "sendProbe",
        "Send a test event; a receiver that takes it is enabled again",
        {202: Answer("The probe, to be asked for at its Location.", Probe, ("Location",))},
        ("callback-refused",),
        body=ProbeOrder,
    )
    def send_probe() -> Response:
        try:
            url = parse(json_body()["callback_url"], desk.settings.callback_exceptions).url
        except CallbackRefused as error:
            raise Problem(422, "callback-refused", f"{error}.") from error
        probe_id = desk.probes.create(g.client, url)
        desk.queue.probe(g.client, probe_id)
        response = jsonify(desk.probes.read(g.client, probe_id))
        response.status_code = 202
        response.headers["Location"] = f"{desk.settings.public_url}/v1/webhook/probes/{probe_id}"
        return response

    @routes.get("/probes/<probe_id>")
    @describe("getProbe", "What came of a test event", {200: Answer("The probe.", Probe)}, ("no-such-probe",))
    def show_probe(probe_id: str) -> Response:
        try:
            if is_id("probe", probe_id):
                return jsonify(desk.probes.read(g.client, probe_id))
        except NotStored:
            pass
        raise Problem(404, "no-such-probe", "There is no such test event of this client. Send a new one.")

    @routes.post("/redeliver")
    @describe(
        "redeliverSince",
        "Send the callbacks of all jobs made since a time once more",
        {202: Answer("How many; with a cursor where there are more.", Redelivery)},
        body=Annotated[Since, CLOSED],
    )
    def redeliver() -> Response:
        given = json_body()
        since, cursor = moment("since", given["since"]), given.get("cursor")
        if cursor is not None and not is_id("job", cursor):
            raise Problem(400, "malformed", "`cursor` is the `next_cursor` of an earlier answer.")
        newer = takewhile(lambda job_id: made_at(job_id) >= since, desk.ledger.of_client(g.client, cursor))
        looked_at = list(islice(newer, MOST_LOOKED_AT + 1))
        page = looked_at[:MOST_LOOKED_AT]
        count = sum(redeliver_one(desk.ledger, desk.queue, job_id) for job_id in page)
        behind = page[-1] if len(looked_at) > MOST_LOOKED_AT else None
        response = jsonify(redelivered=count, next_cursor=behind)
        response.status_code = 202
        return response

    return routes


def redeliver_one(ledger: Ledger, queue: JobQueue, job_id: str) -> bool:
    """Let a job's callback be due once more; False where it has none, or has not ended."""
    job = ledger.read(job_id)
    if not job.state.final or not job.callback_url:
        return False
    try:
        again = ledger.redeliver(job)
        queue.feed_deliveries(again.client)
    except Conflict:
        return False  # A delivery is being recorded this very moment.
    except QueueUnavailable:
        log.warning("Redis does not answer; the sweeper will enqueue this callback", extra={"job": job_id})
    return True


def redelivered(ledger: Ledger, queue: JobQueue, job_id: str) -> Job:
    """The job or study, its callback due at once. Raises Problem 409 where it has none, or has not ended."""
    if not redeliver_one(ledger, queue, job_id):
        detail = "There is no callback to deliver: this has not ended, or named no callback_url."
        raise Problem(409, "nothing-to-deliver", detail)
    return ledger.read(job_id)


def _document(desk: Desk) -> WebhookDocument:
    chosen = desk.webhooks.of(g.client)
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
            for receiver in desk.receivers.failing(g.client)
        ],
    }
