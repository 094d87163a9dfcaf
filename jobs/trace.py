"""The trace that a job belongs to, by W3C Trace Context: from the client's request to logs and callback."""

import logging
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

FORM = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)

current: ContextVar[str | None] = ContextVar("current", default=None)
"""The `traceparent` of what this thread is at."""

asked: ContextVar[str | None] = ContextVar("asked", default=None)
"""The id of the request that this thread answers."""


def entered(given: str | None) -> str:
    """A `traceparent` for what begins now: in the trace that `given` names, or in a new one."""
    match = FORM.fullmatch(given or "")
    if match is None or (match["version"] == "00" and match["more"]):
        # Nothing is recorded of a trace that begins here, so it is not marked as sampled.
        return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
    return f"00-{match['trace']}-{secrets.token_hex(8)}-{int(match['flags'], 16) & 1:02x}"


def trace_id(traceparent: str) -> str:
    """The id that everything in one trace shares."""
    return traceparent[3:35]


@contextmanager
def within(traceparent: str | None) -> Iterator[None]:
    """Let what this thread logs meanwhile name the trace."""
    token = current.set(traceparent)
    try:
        yield
    finally:
        current.reset(token)


def name_trace(record: logging.LogRecord) -> bool:
    """A filter of the log that drops nothing: it adds the trace and the request that the thread is at."""
    if traceparent := current.get():
        record.trace = trace_id(traceparent)
    if request_id := asked.get():
        record.request = request_id
    return True
