"""Records spans by OpenTelemetry, and sends them to a collector by OTLP over HTTP.

Only a process for which an endpoint is set imports this module.
"""

import logging
from collections.abc import Sequence
from datetime import datetime
from threading import Thread

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from jobs.spans import Attributes, Kind
from jobs.trace import TraceParent, read_traceparent
from jobs.version import VERSION

log = logging.getLogger(__name__)

_CLOSE_SECONDS = 3.0
"""Longest time for which the end of a process waits for the collector."""


class Exporter:
    """Records the spans of one process. A thread of its own sends them in batches.

    A queue of at most OTEL_BSP_MAX_QUEUE_SIZE spans waits for it. Further ones are dropped.
    """

    def __init__(self, endpoint: str, role: str) -> None:
        # What is said of a collector that does not answer is said once, below.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL + 1)
        named = {"service.namespace": "osteo", "service.name": f"osteo-{role}", "service.version": VERSION}
        # What the operator sets in OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES wins.
        resource = Resource.create(named).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        to = f"{endpoint.rstrip('/')}/v1/traces"
        self._provider.add_span_processor(BatchSpanProcessor(_SaysOnce(OTLPSpanExporter(endpoint=to))))
        self._tracer = self._provider.get_tracer("osteo", VERSION)

    def begin(
        self,
        name: str,
        kind: Kind,
        parent: str | None,
        link: str | None,
        attributes: Attributes,
        began: datetime | None,
    ) -> "RecordedSpan":
        """Begin a span. A parent or link that is no `traceparent` is left out."""
        above, beside = _context(parent), _context(link)
        context = set_span_in_context(NonRecordingSpan(above), Context()) if above else Context()
        return RecordedSpan(
            self._tracer.start_span(
                name,
                context=context,
                kind=SpanKind[kind.upper()],
                attributes=dict(attributes),
                links=[Link(beside)] if beside else None,
                start_time=round(began.timestamp() * 1e9) if began else None,
            )
        )

    def close(self) -> None:
        """Send what waits, for _CLOSE_SECONDS at most."""
        # In a thread: the exporter's own time-out is longer.
        closing = Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


class RecordedSpan:
    """A span that is recorded, as jobs.spans.Span."""

    def __init__(self, recorded: Span) -> None:
        self._recorded = recorded
        context = recorded.get_span_context()
        ids = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        self.traceparent = self.trace_of_thread = str(TraceParent(*ids, context.trace_flags.sampled))

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""
        self._recorded.set_attributes(dict(attributes))

    def fail(self, type_: str) -> None:
        """Mark it as failed."""
        self._recorded.set_attribute("error.type", type_)
        self._recorded.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """End it now, unless it has ended."""
        if self._recorded.is_recording():
            self._recorded.end()


class _SaysOnce(SpanExporter):
    """Exports spans, and logs once that they are lost, and once that they are not lost any more."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._lost = 0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is not SpanExportResult.SUCCESS:
            if not self._lost:
                log.warning("the collector of traces does not take spans; they are lost until it does")
            self._lost += len(spans)
        elif self._lost:
            log.info("the collector of traces takes spans again; %d were lost", self._lost)
            self._lost = 0
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _context(traceparent: str | None) -> SpanContext | None:
    parts = read_traceparent(traceparent)
    if parts is None:
        return None
    flags = TraceFlags(TraceFlags.SAMPLED if parts.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(parts.trace, 16), int(parts.span, 16), is_remote=True, trace_flags=flags)
