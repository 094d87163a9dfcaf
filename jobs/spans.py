"""Begins and ends the spans of traces. They are recorded where an endpoint for them is set.

OpenTelemetry is imported only then (jobs.span_export). A span without a parent continues the trace of its
thread. Attributes hold nothing that a client has sent.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, Protocol

from jobs.settings import SettingsError
from jobs.trace import continue_trace, log_with_trace, trace_of_thread

if TYPE_CHECKING:
    from jobs.span_export import Exporter

Kind = Literal["server", "producer", "consumer", "client", "internal"]
Attributes = Mapping[str, str | int]

_NEEDED = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")


class Span(Protocol):
    """A span that has begun."""

    @property
    def traceparent(self) -> str:
        """Its own `traceparent`, for what begins within it in another process."""

    @property
    def trace_of_thread(self) -> str | None:
        """The `traceparent` for what begins within it in its thread."""

    def set(self, attributes: Attributes) -> None:
        """Set attributes."""

    def fail(self, type_: str) -> None:
        """Mark it as failed, with a stable `type_`."""

    def end(self) -> None:
        """End it now. A second end does nothing."""


class _Unrecorded:
    """A span where none are recorded. The trace of its parent goes on."""

    def __init__(self, parent: str | None) -> None:
        self.trace_of_thread = parent

    @property
    def traceparent(self) -> str:
        return continue_trace(self.trace_of_thread)

    def set(self, attributes: Attributes) -> None:
        pass

    def fail(self, type_: str) -> None:
        pass

    def end(self) -> None:
        pass


class _Process:
    """What records the spans of this process; None where they are not recorded."""

    exporter: "Exporter | None" = None


def check_spans(endpoint: str | None) -> None:
    """Raise SettingsError where there is an endpoint, and the packages that record spans are missing."""
    try:
        missing = endpoint and not all(map(find_spec, _NEEDED))
    except ModuleNotFoundError:
        missing = True
    if missing:
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and the packages that record traces are not installed."
            " Install the extra `otel`, or unset it."
        )


def record_spans(endpoint: str | None, role: str) -> None:
    """Record the spans of this process from now on, if there is an endpoint. Raises SettingsError."""
    check_spans(endpoint)
    if endpoint:
        from jobs.span_export import Exporter

        _Process.exporter = Exporter(endpoint, role)


def stop_recording() -> None:
    """Send the spans that have ended, for a few seconds at most, and record none from now on."""
    exporter, _Process.exporter = _Process.exporter, None
    if exporter:
        exporter.close()


def recording() -> bool:
    """Return whether this process records spans."""
    return _Process.exporter is not None


def begin_span(
    name: str,
    kind: Kind = "internal",
    parent: str | None = None,
    link: str | None = None,
    attributes: Attributes | None = None,
    began: datetime | None = None,
) -> Span:
    """Begin a span, now or at `began`, below `parent`, with a link to the span `link`."""
    parent = parent or trace_of_thread.get()
    if _Process.exporter is None:
        return _Unrecorded(parent)
    return _Process.exporter.begin(name, kind, parent, link, attributes or {}, began)


@contextmanager
def span(
    name: str,
    kind: Kind = "internal",
    parent: str | None = None,
    link: str | None = None,
    attributes: Attributes | None = None,
) -> Iterator[Span]:
    """Begin a span as `begin_span` does, and end it with the block. What the thread logs names its trace."""
    begun = begin_span(name, kind, parent, link, attributes)
    try:
        with log_with_trace(begun.trace_of_thread):
            yield begun
    except BaseException as error:
        # Without its text, which may contain anything.
        begun.fail(type(error).__name__)
        raise
    finally:
        begun.end()
