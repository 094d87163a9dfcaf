"""Sends one test event. A receiver that accepts it is called again."""

from contextlib import suppress
from datetime import datetime

from jobs.callbacks.signing import signed
from jobs.callbacks.url import CallbackUrlRefused, parse
from jobs.record.errors import NotStored
from jobs.record.job import moment_text, now
from jobs.redis.delivery_queues import CallSlot
from jobs.store.probes import Probes
from worker.delivery.call import CallResult, Message, call
from worker.delivery.deliver import DeliveryContext, log_entry


def probe(slot: CallSlot, context: DeliveryContext) -> None:
    """Call the receiver that the probe names, once, and record the outcome."""
    probes = Probes(context.ledger.records)
    with suppress(NotStored):  # It was erased while it waited.
        stored = probes.read(slot.client, slot.item)
        if stored["delivery"] is None:
            at = now()
            answer = _call_receiver(slot, stored["callback_url"], context, at)
            probes.delivered(slot.client, slot.item, log_entry(_message_id(slot), 1, answer, at))
    context.delivery_queues.leave(slot)


def _call_receiver(slot: CallSlot, url: str, context: DeliveryContext, at: datetime) -> CallResult:
    event = {"type": "webhook.test", "timestamp": moment_text(at), "data": {"id": slot.item}}

    def message() -> Message:
        moment = now()
        secrets = context.webhooks.secrets(slot.client, context.webhooks.of(slot.client), moment)
        return signed(_message_id(slot), event, secrets, moment)

    try:
        callback = parse(url, context.exceptions)
    except CallbackUrlRefused as refusal:
        return CallResult(0.0, error=str(refusal))
    answer = call(callback, message, context.exceptions, context.seconds, slot.client, context.connections)
    if answer.accepted:
        context.receivers.answered(context.receivers.of(slot.client, callback.origin))
        context.circuit_breaker.count(slot.client, callback.origin, answered=True)
    return answer


def _message_id(slot: CallSlot) -> str:
    return f"msg_{slot.item}"
