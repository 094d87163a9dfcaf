"""Send one test event, and let a receiver that takes it be called again."""

from contextlib import suppress
from datetime import datetime

from jobs.callbacks.signing import signed
from jobs.callbacks.url import CallbackUrlRefused, parse
from jobs.record.errors import NotStored
from jobs.record.job import moment_text, now
from jobs.redis.delivery_queues import CallSlot
from jobs.store.probes import Probes
from worker.delivery.call import CallResult, call
from worker.delivery.deliver import DeliveryContext, logged


def probe(turn: CallSlot, context: DeliveryContext) -> None:
    """Call the receiver that the probe names, once, and record the outcome."""
    probes = Probes(context.ledger.records)
    with suppress(NotStored):  # It was erased while it waited.
        asked = probes.read(turn.client, turn.item)
        if asked["delivery"] is None:
            at = now()
            answer = _answer(turn, asked["callback_url"], context, at)
            probes.delivered(turn.client, turn.item, logged(_message_id(turn), 1, answer, at))
    context.delivery_queues.leave(turn)


def _answer(turn: CallSlot, url: str, context: DeliveryContext, at: datetime) -> CallResult:
    event = {"type": "webhook.test", "timestamp": moment_text(at), "data": {"id": turn.item}}
    secrets = context.webhooks.secrets(turn.client, context.webhooks.of(turn.client), at)
    body, headers = signed(_message_id(turn), event, secrets, at)
    try:
        callback = parse(url, context.exceptions)
    except CallbackUrlRefused as refusal:
        return CallResult(0.0, error=str(refusal))
    answer = call(callback, body, headers, context.exceptions, context.seconds)
    if answer.accepted:
        context.receivers.answered(context.receivers.of(turn.client, callback.origin))
        context.circuit_breaker.note(turn.client, callback.origin, answered=True)
    return answer


def _message_id(turn: CallSlot) -> str:
    return f"msg_{turn.item}"
