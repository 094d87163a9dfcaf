"""Deliver one job's callback, signed by Standard Webhooks, on a schedule that outlasts an outage."""

import logging
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.callback_url import Callback, CallbackRefused, parse
from jobs.document import DeliveryAttempt, document
from jobs.errors import Conflict
from jobs.hosts import Hosts
from jobs.job import Job, moment_text, now
from jobs.ledger import Ledger
from jobs.receivers import Receiver, Receivers
from jobs.states import Delivery
from jobs.study import study_document
from jobs.trace import entered, within
from jobs.webhook import Webhooks, WebhookSettings, signed
from worker.call import Answer, call

log = logging.getLogger(__name__)

SCHEDULE = tuple(
    timedelta(seconds=seconds) for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Pauses after the first, second, ... failed attempt; after the last of them the callback is given up."""

GONE = 410


@dataclass(frozen=True)
class Courier:
    """What a delivery works with; `process` is the name of its heartbeat."""

    process: str
    ledger: Ledger
    webhooks: Webhooks
    receivers: Receivers
    hosts: Hosts
    public_url: str
    exceptions: frozenset[str]
    seconds: float


def deliver(job_id: str, courier: Courier) -> None:
    """Call the job's receiver once if it is due, and record what came of it.

    The attempt is recorded before the call: whatever dies then, the receiver is not called without end.
    """
    view = courier.ledger.view
    token = view.begin_delivery(job_id, courier.process, courier.seconds * 2)
    if token is None:
        return
    try:
        # A view that lags behind shows a version that cannot be followed by another: nobody is called then.
        job = courier.ledger.current(job_id)
        due = job.next_delivery_at
        if not job.state.final or job.delivery is not Delivery.PENDING or due is None or due > now():
            return
        with within(job.traceparent):
            _deliver(job, courier)
    finally:
        view.end_delivery(job_id, token)


def _deliver(job: Job, courier: Courier) -> None:
    try:
        after = _attempt(job, courier)
    except Conflict:
        log.warning("this delivery was recorded by another", extra={"job": job.id})
        return
    if after.settled:
        courier.ledger.settle(after)


def event_of(job: Job, ledger: Ledger, public_url: str, at: datetime) -> dict[str, Any]:
    """What a callback says of an ended job, or of a study whose jobs have ended."""
    data: dict[str, Any]
    if job.members:
        data = {**study_document(job, ledger.current_many(job.members), public_url)}
    else:
        data = {**document(job, public_url)}
        # May hold anything, a patient's data too: it goes only to who asks with the key.
        del data["metadata"]
    return {"type": job.event, "timestamp": moment_text(job.finished_at or at), "data": data}


def message_id(job: Job) -> str:
    """The webhook-id, the same on every attempt; one for each time that the job ended."""
    return f"msg_{job.id.removeprefix('job_')}" + (f"_{job.retries}" if job.retries else "")


def _attempt(job: Job, courier: Courier) -> Job:
    """The job after one attempt, or as it was where its host is busy or left alone for now."""
    assert job.callback_url
    ledger = courier.ledger
    chosen = courier.webhooks.of(job.client)
    if job.event not in chosen.events:
        return ledger.append(job.delivery_given_up(Delivery.NONE))
    try:
        callback = parse(job.callback_url, courier.exceptions)
    except CallbackRefused as refusal:
        return _after(_begin(job, courier), Answer(0.0, error=str(refusal)), None, courier)
    receiver = courier.receivers.of(job.client, callback.origin)
    if receiver.disabled_at:
        log.warning("this receiver is disabled", extra={"job": job.id, "host": callback.host})
        return ledger.append(job.delivery_given_up(Delivery.DISABLED))
    token = courier.hosts.enter(callback.host, courier.process, courier.seconds * 2)
    if token is None:
        return job
    answered = None
    try:
        begun = _begin(job, courier)
        answer = _call(begun, callback, chosen, courier)
        answered = answer.reached
    finally:
        courier.hosts.leave(callback.host, token, answered)
    return _after(begun, answer, receiver, courier)


def _begin(job: Job, courier: Courier) -> Job:
    # Jitter keeps the callbacks of an outage from coming back all at once.
    pause = SCHEDULE[min(job.delivery_attempts, len(SCHEDULE) - 1)] * random.uniform(0.8, 1.2)
    return courier.ledger.append(job.delivery_begun(now() + pause))


def _call(job: Job, callback: Callback, chosen: WebhookSettings, courier: Courier) -> Answer:
    at = now()
    event = event_of(job, courier.ledger, courier.public_url, at)
    secrets = courier.webhooks.secrets(job.client, chosen, at)
    body, headers = signed(message_id(job), event, secrets, at)
    headers["traceparent"] = entered(job.traceparent)
    return call(callback, body, headers, courier.exceptions, courier.seconds)


def _after(begun: Job, answer: Answer, receiver: Receiver | None, courier: Courier) -> Job:
    at = now()
    entry = dict(logged(message_id(begun), begun.delivery_attempts, answer, at))
    log.info("callback: %s", answer.status or answer.error, extra={"job": begun.id})
    if answer.accepted:
        if receiver:
            courier.receivers.answered(receiver)
        return courier.ledger.append(begun.delivered(entry))
    if receiver:
        receiver = courier.receivers.failed(receiver, at, gone=answer.status == GONE)
        if receiver.disabled_at:
            return courier.ledger.append(begun.delivery_given_up(Delivery.DISABLED, entry))
    if begun.delivery_attempts > len(SCHEDULE):
        return courier.ledger.append(begun.delivery_given_up(Delivery.FAILED, entry))
    assert begun.next_delivery_at
    due = max(begun.next_delivery_at, at + (answer.retry_after or timedelta(0)))
    return courier.ledger.append(begun.delivery_postponed(due, entry))


def logged(message: str, attempt: int, answer: Answer, at: datetime) -> DeliveryAttempt:
    """One entry of a delivery log."""
    return {
        "webhook_id": message,
        "attempt": attempt,
        "at": moment_text(at),
        "status": answer.status,
        "duration_ms": round(answer.seconds * 1000),
        "answer": answer.body,
        "error": answer.error,
    }
