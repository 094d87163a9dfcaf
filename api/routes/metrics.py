"""Serves the metrics in Prometheus' text format: of the API's requests, and of what the stores hold now."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import get_args

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from api.http.request_metrics import request_metrics
from api.openapi.describe import Answer, describe
from jobs.metrics import BuildInfo
from jobs.reading.disagreement import Kind
from jobs.record.errors import TransientError
from jobs.redis.reading_figures import turnaround
from jobs.redis.shadow_queue import KINDS, differences
from jobs.store.ledger import Ledger
from jobs.store.receivers import Receivers

ROLES = ("inference", "delivery", "sweeper", "shadow")
TEXT = "text/plain; version=0.0.4; charset=utf-8"


def metrics_routes(ledger: Ledger, receivers: Receivers) -> Blueprint:
    """Make the blueprint of /metrics. It leaves out the figures of a store that does not answer."""
    routes = Blueprint("metrics", __name__)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BuildInfo())
    registry.register(request_metrics())
    registry.register(_Part("redis", lambda: _of_redis(ledger)))
    registry.register(_Part("object-store", lambda: _of_objects(ledger, receivers)))

    @routes.get("/metrics")
    @describe(
        "metrics",
        "Metrics for Prometheus",
        {
            200: Answer(
                "The metrics of the API and of the stores, without those of a store that does not answer.",
                {"text/plain": str},
            )
        },
        public=True,
    )
    def metrics() -> Response:
        return Response(generate_latest(registry), content_type=TEXT)

    return routes


class _Part(Collector):
    """The metrics of one store, and whether the store answers."""

    def __init__(self, name: str, figures: Callable[[], Iterator[Metric]]) -> None:
        self._name = name
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        try:
            found, answers = list(self._figures()), 1
        except TransientError:
            found, answers = [], 0
        help_ = f"1 if {self._name} answers, 0 if not"
        yield GaugeMetricFamily(f"osteo_{self._name.replace('-', '_')}_up", help_, value=answers)
        yield from found


def _of_redis(ledger: Ledger) -> Iterator[Metric]:
    view, at = ledger.view, time.time()
    waiting = view.client_queues.waiting_by_priority()
    names = Counter(name.partition(":")[0] for name in view.heartbeats.alive())
    counts = view.counts()
    yield _by(
        "priority",
        "osteo_jobs_waiting",
        "Jobs that wait for a worker",
        {p: n for p, (n, _) in waiting.items()},
    )
    yield _by(
        "priority",
        "osteo_jobs_oldest_seconds",
        "For how long the first of them has waited",
        {priority: at - since if since else 0.0 for priority, (_, since) in waiting.items()},
    )
    yield GaugeMetricFamily(
        "osteo_jobs_drained_per_second",
        "Jobs that left the queue in the last minute",
        view.client_queues.drain_rate(),
    )
    yield GaugeMetricFamily(
        "osteo_jobs_pending", "Jobs with anything left to do, callbacks too", view.agenda.size()
    )
    yield _by(
        "clock",
        "osteo_clock_difference_seconds",
        "How far the sweeper's clock is ahead of this one; beyond 60 s either way nothing is erased",
        ledger.clock.reported(),
    )
    yield _by("role", "osteo_processes", "Processes that live", {role: names[role] for role in ROLES})
    yield from _of_readings(ledger, at, counts)
    yield from _of_models(ledger, counts)
    yield GaugeMetricFamily(
        "osteo_receivers_paused", "Receivers that are not called for now", len(view.circuit_breaker.paused())
    )
    yield _total("state", "osteo_jobs_ended", "Jobs that have ended", "ended:", counts)
    yield _total("outcome", "osteo_deliveries", "Callbacks that have come to an end", "delivery:", counts)
    yield CounterMetricFamily(
        "osteo_attempts_lost", "Analyses that were handed back", value=counts.get("lost", 0)
    )


def _of_readings(ledger: Ledger, at: float, counts: Mapping[str, int]) -> Iterator[Metric]:
    figures = ledger.view.reading_figures.by_priority(at)
    yield _by(
        "priority",
        "osteo_readings_waiting",
        "Readings that no reader has claimed",
        {priority: found.waiting for priority, found in figures.items()},
    )
    yield _by(
        "priority",
        "osteo_readings_oldest_seconds",
        "For how long the first of them has waited",
        {
            priority: at - found.oldest_since if found.oldest_since else 0.0
            for priority, found in figures.items()
        },
    )
    yield _by(
        "priority",
        "osteo_readings_overdue",
        "Readings that are due, and not signed",
        {priority: found.overdue for priority, found in figures.items()},
    )
    kinds = [f"reading-disagreement:{kind}" for kind in get_args(Kind)]
    begun = dict.fromkeys([*kinds, *(f"reading-overdue:{priority}" for priority in figures)], 0)
    counts = {**begun, **counts}
    yield _total(
        "priority", "osteo_readings_overdue", "Readings that became overdue", "reading-overdue:", counts
    )
    yield _total(
        "kind",
        "osteo_reading_disagreement",
        "Signed readings, by how the reader's finding and the model's differ",
        "reading-disagreement:",
        counts,
    )
    family = HistogramMetricFamily(
        "osteo_reading_turnaround_seconds",
        "Time from the request of a reading to its signature, since Redis was last empty",
        labels=["priority"],
    )
    for priority in figures:
        family.add_metric([priority], *turnaround(counts, priority))
    yield family


def _of_models(ledger: Ledger, counts: Mapping[str, int]) -> Iterator[Metric]:
    queue = ledger.view.shadow_queue
    yield _by(
        "role",
        "osteo_models_refused",
        "Workers that could not load a model that the roll-out names",
        queue.refused(),
    )
    yield GaugeMetricFamily("osteo_shadow_waiting", "Jobs that wait for the shadow", queue.waiting())
    yield _total(
        "kind",
        "osteo_shadow_disagreement",
        "Jobs that the shadow has scored, by how its finding differs from the one served",
        "shadow:",
        {**dict.fromkeys((f"shadow:{kind}" for kind in KINDS), 0), **counts},
    )
    yield HistogramMetricFamily(
        "osteo_shadow_difference",
        "Difference between the shadow's probability and the one served, since Redis was last empty",
        *differences(counts),
    )


def _of_objects(ledger: Ledger, receivers: Receivers) -> Iterator[Metric]:
    failing = [bool(receiver.disabled_at) for receiver in receivers.all_failing()]
    yield _by(
        "state",
        "osteo_receivers",
        "Receivers of callbacks that fail, and those that are not called any more",
        {"failing": failing.count(False), "disabled": failing.count(True)},
    )
    yield GaugeMetricFamily(
        "osteo_dead_letters", "Jobs given up, for an operator to retry", _length(ledger.dead_letter_ids())
    )


def _by(label: str, name: str, help_: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, help_, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _total(label: str, name: str, help_: str, prefix: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, f"{help_}, since Redis was last empty", labels=[label])
    for key, count in counts.items():
        if key.startswith(prefix):
            family.add_metric([key.removeprefix(prefix)], count)
    return family


def _length(items: Iterator[object]) -> int:
    return sum(1 for _ in items)
