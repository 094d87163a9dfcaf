"""Follows the trace of a job, by W3C Trace Context: from the client's request to logs and callback."""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

FORM = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?P<span>(?!0{16})[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)

trace_of_thread: ContextVar[str | None] = ContextVar("trace_of_thread", default=None)
"""The `traceparent` of what this thread works on."""

request_id_of_thread: ContextVar[str | None] = ContextVar("request_id_of_thread", default=None)
"""The id of the request that this thread answers."""


class TraceParent(NamedTuple):
    """The parts of a `traceparent`: trace and span in hexadecimal, and whether the trace is recorded."""

    trace: str
    span: str
    sampled: bool

    def __str__(self) -> str:
        """Return the header."""
        return f"00-{self.trace}-{self.span}-{self.sampled:02x}"


def read_traceparent(given: str | None) -> TraceParent | None:
    """Return the parts of a `traceparent`, or None for a text that is none."""
    match = FORM.fullmatch(given or "")
    if match is None or (match["version"] == "00" and match["more"]):
        return None
    return TraceParent(match["trace"], match["span"], bool(int(match["flags"], 16) & 1))


def continue_trace(given: str | None) -> str:
    """Return a `traceparent` for what begins now: in the trace that `given` names, or in a new one."""
    # Nothing is recorded of a trace that begins here, so it is not marked as sampled.
    parent = read_traceparent(given) or TraceParent(secrets.token_hex(16), "", False)
    return str(parent._replace(span=secrets.token_hex(8)))


def trace_id(traceparent: str) -> str:
    """Return the id of the trace."""
    return traceparent[3:35]


@contextmanager
def log_with_trace(traceparent: str | None) -> Iterator[None]:
    """Add the trace to all that this thread logs in the block."""
    token = trace_of_thread.set(traceparent)
    try:
        yield
    finally:
        trace_of_thread.reset(token)


def name_trace(record: logging.LogRecord) -> bool:
    """Add the trace and the request of the thread to a log record. As a filter it drops nothing."""
    if traceparent := trace_of_thread.get():
        record.trace = trace_id(traceparent)
    if request_id := request_id_of_thread.get():
        record.request = request_id
    return True
