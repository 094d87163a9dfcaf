"""Delivers one job's callback, signed by Standard Webhooks, on a schedule of several days."""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from threading import Event
from typing import Any, TypeVar

from jobs.callbacks.signing import signed
from jobs.callbacks.url import CallbackTarget, CallbackUrlRefused, parse
from jobs.lifecycle.reading_request import request_reading, settle
from jobs.reading.documents import links_of_reading
from jobs.record.documents import DeliveryAttempt, document
from jobs.record.errors import Conflict, NotStored, QueueUnavailable, TransientError
from jobs.record.events import TARGETS_EVENT
from jobs.record.job import Job, moment_text, now
from jobs.record.states import Delivery, Kind
from jobs.record.study import study_document
from jobs.redis.delivery_queues import CLIENT_SLOTS, CallSlot, DeliveryQueues, new_token
from jobs.redis.message_spans import process_span
from jobs.redis.queue import DELIVER, JobQueue
from jobs.redis.receiver_circuit_breaker import CircuitBreaker
from jobs.redis.task_ids import next_task_id
from jobs.spans import span
from jobs.store.ledger import Ledger
from jobs.store.receivers import ReceiverRecord, Receivers
from jobs.store.webhook_settings import Webhooks, WebhookSettings
from jobs.targets.documents import CLOUDEVENTS
from jobs.targets.events import TargetsEvent, announce, targets_event
from worker.delivery.call import CallResult, Message, call
from worker.delivery.connections import CALLS_AT_ONCE, Connections
from worker.delivery.metrics import count_call
from worker.delivery.retry_schedule import is_over, pause_after
from worker.repeat import repeated

log = logging.getLogger(__name__)

T = TypeVar("T")

PAUSES = (0.5, 1.0, 2.0)
"""Seconds between two attempts, while Redis does not answer. The last of them repeats."""
_GONE = 410


@dataclass(frozen=True)
class DeliveryContext:
    """What a delivery needs. `process` is the name of its heartbeat."""

    process: str
    ledger: Ledger
    queue: JobQueue
    webhooks: Webhooks
    receivers: Receivers
    public_url: str
    exceptions: frozenset[str]
    seconds: float
    target_seconds: int
    connections: Connections = field(default_factory=Connections)
    stopping: Event = field(default_factory=Event)
    """Set once this worker is to end. Nothing is repeated then."""

    @property
    def circuit_breaker(self) -> CircuitBreaker:
        """The circuit breaker of the receivers."""
        return self.ledger.view.circuit_breaker

    @property
    def delivery_queues(self) -> DeliveryQueues:
        """The queues of due callbacks."""
        return self.ledger.view.delivery_queues


def with_call_slot(
    work: Callable[[CallSlot, DeliveryContext], None], context: DeliveryContext, item: str
) -> None:
    """Do the `work` for `item` if its call slot is free; then send the client's next callbacks to workers."""
    # Its call may wait for those of the receiver's other slots, and the stores take time as well.
    longest = context.seconds * (CLIENT_SLOTS // CALLS_AT_ONCE + 1)
    token = new_token(context.process)
    slot = _repeated(lambda: context.delivery_queues.begin(item, token, longest), context, item)
    if slot is None:
        return
    lost = True
    try:
        work(slot, context)
        lost = False
    except NotStored:
        log.warning("what this call was for is not stored any more", extra={"job": item})
        context.delivery_queues.leave(slot)
    except Conflict:
        log.warning("another process recorded this delivery", extra={"job": item})
        context.ledger.view.put(context.ledger.read(item))
    finally:
        _repeated(lambda: _give_back(slot, lost, context), context, item)


def _give_back(slot: CallSlot, lost: bool, context: DeliveryContext) -> None:
    """Give the slot back, and send the client's next callbacks."""
    context.delivery_queues.end(slot, lost)
    context.queue.feed_deliveries(slot.client)


def _repeated(work: Callable[[], T], context: DeliveryContext, item: str) -> T:
    """Do the work, again while Redis does not answer. Raises QueueUnavailable once this worker is to end.

    A slot that a living process holds without a call would keep its callback waiting for over a minute.
    """
    return repeated(work, QueueUnavailable, PAUSES, context.stopping, item)


def deliver(slot: CallSlot, context: DeliveryContext, sent: str | None = None) -> None:
    """Call the job's receiver once if it is due, and record the outcome. `sent`: the message's `traceparent`.

    Once an outcome was lost, each attempt at the job is recorded before the call as well. A job whose workers
    die therefore runs out of attempts. Raises Conflict where another process has recorded the delivery.
    """
    job = context.ledger.current(slot.item)
    if not job.owes_callback:
        context.delivery_queues.leave(slot)
    elif job.next_delivery_at and job.next_delivery_at <= now():
        with process_span(DELIVER, next_task_id(job), job, sent):
            _deliver(job, slot, context)


def _deliver(job: Job, slot: CallSlot, context: DeliveryContext) -> None:
    if TARGETS_EVENT in context.webhooks.of(job.client).events:
        announce(job, context.ledger)
    after = _attempt(job, slot, context)
    if after.settled:
        settle(after, context.ledger, context.queue)
    else:  # The process that ended the job may have died before it requested the reading.
        request_reading(after, context.ledger, context.queue)


def event_of(job: Job, ledger: Ledger, public_url: str, at: datetime) -> dict[str, Any]:
    """Return the event of an ended job or study, or of a reading, which its callback carries."""
    data: dict[str, Any]
    if job.announces:
        data = {**job.announces["data"]}
        data["links"] = links_of_reading(data["id"], data["job"], public_url)
    elif job.kind is Kind.STUDY:
        data = {**study_document(job, ledger.current_many(job.members), public_url)}
    else:
        data = {**document(job, public_url)}
        # May contain anything, such as a patient's data. Only the owner of the key gets it.
        del data["metadata"]
    return {"type": job.event, "timestamp": moment_text(job.finished_at or at), "data": data}


def message_id(job: Job) -> str:
    """Return the webhook-id: the same on every attempt, another one for each time that the job ended."""
    return f"msg_{job.id.removeprefix('job_')}" + (f"_{job.retries}" if job.retries else "")


def _attempt(job: Job, slot: CallSlot, context: DeliveryContext) -> Job:
    """Make one attempt, and return the job after it."""
    assert job.callback_url
    ledger = context.ledger
    chosen = context.webhooks.of(job.client)
    if job.event not in chosen.events:
        return ledger.append(job.delivery_given_up(Delivery.NONE))
    if is_over(job.delivery_attempts):
        # The last attempt was begun, and its outcome was not recorded.
        return _after(job, CallResult(0.0, error="the outcome was lost with the worker"), None, context)
    try:
        callback = parse(job.callback_url, context.exceptions)
    except CallbackUrlRefused as refusal:
        return _after(_begin(job, slot, context), CallResult(0.0, error=str(refusal)), None, context)
    receiver = context.receivers.of(job.client, callback.origin)
    if receiver.disabled_at:
        log.warning("this receiver is disabled", extra={"job": job.id})
        return ledger.append(job.delivery_given_up(Delivery.DISABLED))
    begun = _begin(job, slot, context)
    try:
        answer = _call(begun, callback, chosen, context)
    except _TargetsDeleted:
        return ledger.append(begun.delivery_given_up(Delivery.NONE))
    with suppress(QueueUnavailable):  # A call that is not counted must still be recorded.
        context.circuit_breaker.count(job.client, callback.origin, answer.reached)
    return _after(begun, answer, receiver, context)


class _TargetsDeleted(Exception):
    """The targets of an event are deleted, and so is all that it could say."""


def _targets(job: Job, context: DeliveryContext) -> TargetsEvent | None:
    """Return the targets as they are now, if this is their event. Raises _TargetsDeleted."""
    if not job.announces or job.event != TARGETS_EVENT:
        return None
    announced, seconds = job.announces["data"], context.target_seconds
    try:
        return targets_event(announced, context.ledger, message_id(job), context.public_url, seconds)
    except NotStored as error:
        raise _TargetsDeleted from error


def _begin(job: Job, slot: CallSlot, context: DeliveryContext) -> Job:
    """Return the job before its call, and record it first unless this is certain to be its latest version.

    A record costs more than a call. It is needed where the job may have been changed or deleted, or where
    the worker may die again.
    """
    begun = job.delivery_begun(now() + pause_after(job.delivery_attempts))
    if slot.latest == job.version:
        return replace(begun, version=job.version)
    return _repeated(lambda: context.ledger.append(begun), context, job.id)


def _call(
    job: Job, callback: CallbackTarget, chosen: WebhookSettings, context: DeliveryContext
) -> CallResult:
    def message() -> Message:
        at = now()
        if targets := _targets(job, context):
            event, media_type = {**targets}, CLOUDEVENTS
        else:
            event, media_type = event_of(job, context.ledger, context.public_url, at), "application/json"
        secrets = context.webhooks.secrets(job.client, chosen, at)
        body, headers = signed(message_id(job), event, secrets, at, media_type)
        return body, headers | {"traceparent": calling.traceparent}

    repeated = {"http.request.resend_count": job.delivery_attempts - 1} if job.delivery_attempts > 1 else {}
    with span("POST", "client", attributes={"http.request.method": "POST", **repeated}) as calling:
        answer = call(callback, message, context.exceptions, context.seconds, job.client, context.connections)
        if answer.status:
            calling.set({"http.response.status_code": answer.status})
        if not answer.accepted:
            calling.fail(str(answer.status or "no-answer"))
    count_call(answer)
    return answer


def _after(begun: Job, answer: CallResult, receiver: ReceiverRecord | None, context: DeliveryContext) -> Job:
    at = now()
    entry = dict(log_entry(message_id(begun), begun.delivery_attempts, answer, at))
    log.info("callback: %s", answer.status or answer.error, extra={"job": begun.id})
    if receiver:
        receiver = _recorded(receiver, answer, at, context)
    if answer.accepted:
        after = begun.delivered(entry)
    elif receiver and receiver.disabled_at:
        after = begun.delivery_given_up(Delivery.DISABLED, entry)
    elif is_over(begun.delivery_attempts):
        after = begun.delivery_given_up(Delivery.FAILED, entry)
    else:
        assert begun.next_delivery_at
        due = max(begun.next_delivery_at, at + (answer.retry_after or timedelta(0)))
        after = begun.delivery_postponed(due, entry)
    # The same record each time: its writer may have the lock of the version without knowing.
    return _repeated(lambda: context.ledger.append(after), context, after.id)


def _recorded(
    receiver: ReceiverRecord, answer: CallResult, at: datetime, context: DeliveryContext
) -> ReceiverRecord:
    """Record that the receiver has answered or failed, and return its record."""
    try:
        if answer.accepted:
            context.receivers.answered(receiver)
            return receiver
        return context.receivers.failed(receiver, at, gone=answer.status == _GONE)
    except TransientError as error:
        # The outcome of the call matters more, and would be lost: the receiver would be called again.
        log.warning("the receiver's record cannot be changed now: %s", error)
        return receiver


def log_entry(message: str, attempt: int, answer: CallResult, at: datetime) -> DeliveryAttempt:
    """Return the entry of a call in the delivery log."""
    return {
        "webhook_id": message,
        "attempt": attempt,
        "at": moment_text(at),
        "status": answer.status,
        "duration_ms": round(answer.seconds * 1000),
        "answer": answer.body,
        "error": answer.error,
    }
