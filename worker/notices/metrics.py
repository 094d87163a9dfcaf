"""Counts the notices to readers for Prometheus."""

from prometheus_client import CollectorRegistry, Counter

REGISTRY = CollectorRegistry()
_NOTICES = Counter(
    "osteo_reading_notices",
    "Notices to readers that a reading waits",
    ["kind", "outcome"],
    registry=REGISTRY,
)
KINDS = ("mail", "push")
OUTCOMES = SENT, REFUSED, UNANSWERED = "sent", "refused", "unanswered"


def begin() -> None:
    """Begin every series at 0."""
    for kind in KINDS:
        for outcome in OUTCOMES:
            _NOTICES.labels(kind, outcome)


def count_notice(kind: str, outcome: str) -> None:
    """Count an attempt to tell a reader."""
    _NOTICES.labels(kind, outcome).inc()
