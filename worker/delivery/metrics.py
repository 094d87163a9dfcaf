"""Measures the calls of this process for Prometheus."""

from prometheus_client import CollectorRegistry, Histogram

from worker.delivery.call import CallResult

REGISTRY = CollectorRegistry()
_SECONDS = Histogram(
    "osteo_delivery_seconds",
    "Time of one call of a receiver, with the look-up of its name",
    ["outcome"],
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300),
)
_ACCEPTED, _REFUSED, _UNANSWERED = "accepted", "refused", "unanswered"


def begin() -> None:
    """Begin every series at 0."""
    for outcome in (_ACCEPTED, _REFUSED, _UNANSWERED):
        _SECONDS.labels(outcome)


def count_call(answer: CallResult) -> None:
    """Measure a call that carried a callback."""
    answered = _UNANSWERED if answer.status is None else _REFUSED
    _SECONDS.labels(_ACCEPTED if answer.accepted else answered).observe(answer.seconds)
