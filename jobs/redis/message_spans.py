"""Spans of messages, by OpenTelemetry's conventions for messaging: one sends, another processes and links."""

from contextlib import AbstractContextManager

from jobs.record.job import Job
from jobs.spans import Attributes, Span, begin_span, span

ATTEMPT = "osteo.job.attempt"
"""Which attempt at an analysis this is."""


def send_span(queue: str, task_id: str, traceparent: str) -> AbstractContextManager[Span]:
    """Span of sending a message, in the trace of its job."""
    return span(f"send {queue}", "producer", traceparent, attributes=_described("send", queue, task_id))


def process_span(queue: str, task_id: str, job: Job, sent: str | None) -> AbstractContextManager[Span]:
    """Span of what a worker does for a message, in the trace of its job. `sent` is its `traceparent`."""
    attributes = {**_described("process", queue, task_id), "osteo.job.id": job.id}
    return span(f"process {queue}", "consumer", job.traceparent, sent, attributes)


def record_lost_attempt(queue: str, task_id: str, job: Job) -> None:
    """Record the span of an attempt whose worker was lost, and can record it no more. It ends now."""
    attributes = {**_described("process", queue, task_id), "osteo.job.id": job.id, ATTEMPT: job.attempts}
    lost = begin_span(
        f"process {queue}", "consumer", job.traceparent, attributes=attributes, began=job.started_at
    )
    lost.fail("worker-lost")
    lost.end()


def _described(operation: str, queue: str, task_id: str) -> Attributes:
    return {
        "messaging.system": "celery",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.message.id": task_id,
    }
