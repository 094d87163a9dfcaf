"""Counts the requests of all processes of the API, and measures how long their answers take.

Under gunicorn, api/gunicorn.conf.py names a folder in which prometheus_client keeps a file for each process.
It must do so before prometheus_client is imported: no module that gunicorn's first process loads imports this
one. Without a folder the figures are those of this process.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.http.problem_kinds import Slug
from jobs.metrics import refusals

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable in which prometheus_client finds the folder, when it is imported."""
NO_ROUTE = "none"
"""The route of a request whose path or method no route takes."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""The methods that a label names; a client can send any word."""

_REGISTRY = CollectorRegistry()
_REQUESTS = Counter(
    "osteo_http_requests",
    "Requests that the API has answered",
    ["route", "method", "status"],
    registry=_REGISTRY,
)
_SECONDS = Histogram(
    "osteo_http_request_seconds",
    "Time from a whole request to its answer, before the first byte is sent",
    ["route", "method"],
    registry=_REGISTRY,
    # A long poll takes 30 seconds.
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
_REFUSALS = refusals(_REGISTRY)


def request_metrics() -> Collector:
    """Return what collects the figures of all processes that share the folder."""
    return MultiProcessCollector(None) if FOLDER in os.environ else _REGISTRY


def begin() -> None:
    """Begin the refusals of every type at 0, so that a first one is an increase."""
    for slug in Slug:
        _REFUSALS.labels(slug)


def count_request(route: str | None, method: str, status: int, seconds: float) -> None:
    """Count a request and measure its answer. `route` is the rule that took it, and never its path."""
    route, method = route or NO_ROUTE, method if method in METHODS else "other"
    _REQUESTS.labels(route, method, status).inc()
    _SECONDS.labels(route, method).observe(seconds)


def count_refusal(slug: Slug) -> None:
    """Count a request that was answered with a problem of this type."""
    _REFUSALS.labels(slug).inc()
