"""Send one test event, and let a receiver that takes it be called again."""

from contextlib import suppress
from datetime import datetime

from jobs.callbacks.url import CallbackRefused, parse
from jobs.record.errors import NotStored
from jobs.record.job import moment_text, now
from jobs.redis.delivery_queues import Turn
from jobs.store.probes import Probes
from jobs.store.webhook_settings import signed
from worker.delivery.call import Answer, call
from worker.delivery.deliver import Courier, logged


def probe(turn: Turn, courier: Courier) -> None:
    """Call the receiver that the probe names, once, and record the outcome."""
    probes = Probes(courier.ledger.records)
    with suppress(NotStored):  # It was erased while it waited.
        asked = probes.read(turn.client, turn.item)
        if asked["delivery"] is None:
            at = now()
            answer = _answer(turn, asked["callback_url"], courier, at)
            probes.delivered(turn.client, turn.item, logged(_message_id(turn), 1, answer, at))
    courier.deliveries.leave(turn)


def _answer(turn: Turn, url: str, courier: Courier, at: datetime) -> Answer:
    event = {"type": "webhook.test", "timestamp": moment_text(at), "data": {"id": turn.item}}
    secrets = courier.webhooks.secrets(turn.client, courier.webhooks.of(turn.client), at)
    body, headers = signed(_message_id(turn), event, secrets, at)
    try:
        callback = parse(url, courier.exceptions)
    except CallbackRefused as refusal:
        return Answer(0.0, error=str(refusal))
    answer = call(callback, body, headers, courier.exceptions, courier.seconds)
    if answer.accepted:
        courier.receivers.answered(courier.receivers.of(turn.client, callback.origin))
        courier.breaker.note(turn.client, callback.origin, answered=True)
    return answer


def _message_id(turn: Turn) -> str:
    return f"msg_{turn.item}"
