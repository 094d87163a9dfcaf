"""Collects what Redis holds now: the figures of jobs, callbacks, processes and readings."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from jobs.reading.disagreement import Kind
from jobs.record.states import SEEN, Delivery
from jobs.redis.answer_times import answer_times
from jobs.redis.reading_figures import turnaround
from jobs.redis.shadow_queue import KINDS, differences
from jobs.store.ledger import Ledger

ROLES = ("inference", "delivery", "sweeper", "shadow")
Buckets = Sequence[tuple[str, float]]
_ENDS = tuple(state for state in SEEN if state.final)
_DELIVERED = (Delivery.DELIVERED, Delivery.FAILED, Delivery.DISABLED)


def of_redis(ledger: Ledger, clients: bool = False) -> Iterator[Metric]:
    """Yield the figures; with those of each client if `clients`. Raises QueueUnavailable."""
    view, at = ledger.view, time.time()
    waiting = view.client_queues.waiting_by_priority()
    names = Counter(name.partition(":")[0] for name in view.heartbeats.alive())
    counts = view.counts()
    yield by(
        "priority",
        "osteo_jobs_waiting",
        "Jobs that wait for a worker",
        {p: n for p, (n, _) in waiting.items()},
    )
    yield by(
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
    yield by(
        "clock",
        "osteo_clock_difference_seconds",
        "How far the sweeper's clock is ahead of this one; beyond 60 s either way nothing is erased",
        ledger.clock.reported(),
    )
    yield by("role", "osteo_processes", "Processes that live", {role: names[role] for role in ROLES})
    yield from _of_readings(ledger, at, counts)
    yield from _of_models(ledger, counts)
    yield _times(
        "osteo_job_answer_seconds",
        "Time from the submission of a job to its result or refusal",
        {priority: answer_times(counts, priority) for priority in waiting},
    )
    yield GaugeMetricFamily(
        "osteo_receivers_paused", "Receivers that are not called for now", len(view.circuit_breaker.paused())
    )
    # Every series begins at 0, so that a first one is an increase.
    begun = dict.fromkeys(
        [*(f"ended:{state}" for state in _ENDS), *(f"delivery:{end}" for end in _DELIVERED)], 0
    )
    counts = {**begun, **counts}
    yield _total("state", "osteo_jobs_ended", "Jobs that have ended", "ended:", counts)
    yield _total("outcome", "osteo_deliveries", "Callbacks that have come to an end", "delivery:", counts)
    yield CounterMetricFamily(
        "osteo_attempts_lost", "Analyses that were handed back", value=counts.get("lost", 0)
    )
    if clients:
        yield from _of_clients(ledger, at)


def _of_clients(ledger: Ledger, at: float) -> Iterator[Metric]:
    waiting = GaugeMetricFamily(
        "osteo_client_jobs_waiting",
        "Jobs of a client that wait for a worker",
        labels=["client", "priority"],
    )
    oldest = GaugeMetricFamily(
        "osteo_client_jobs_oldest_seconds",
        "For how long the first of a client's jobs has waited",
        labels=["client", "priority"],
    )
    for queue in ledger.view.client_queues.by_client():
        waiting.add_metric([queue.client, queue.priority], queue.count)
        oldest.add_metric([queue.client, queue.priority], max(0.0, at - queue.since))
    callbacks = GaugeMetricFamily(
        "osteo_client_callbacks_waiting",
        "Callbacks of a client that are due, or due later",
        labels=["client"],
    )
    owed = Counter[str]()
    for due in ledger.view.delivery_queues.by_receiver():
        owed[due.client] += due.count
    for client, count in owed.items():
        callbacks.add_metric([client], count)
    yield from (waiting, oldest, callbacks)


def _of_readings(ledger: Ledger, at: float, counts: Mapping[str, int]) -> Iterator[Metric]:
    figures = ledger.view.reading_figures.by_priority(at)
    yield by(
        "priority",
        "osteo_readings_waiting",
        "Readings that no reader has claimed",
        {priority: found.waiting for priority, found in figures.items()},
    )
    yield by(
        "priority",
        "osteo_readings_oldest_seconds",
        "For how long the first of them has waited",
        {
            priority: at - found.oldest_since if found.oldest_since else 0.0
            for priority, found in figures.items()
        },
    )
    yield by(
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
    yield _times(
        "osteo_reading_turnaround_seconds",
        "Time from the request of a reading to its signature",
        {priority: turnaround(counts, priority) for priority in figures},
    )


def _of_models(ledger: Ledger, counts: Mapping[str, int]) -> Iterator[Metric]:
    queue = ledger.view.shadow_queue
    yield by(
        "role",
        "osteo_models_refused",
        "Workers that could not load a model that the roll-out names",
        ledger.view.model_loads.refused(),
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


def by(label: str, name: str, help_: str, values: Mapping[str, float]) -> Metric:
    """Make a gauge of one label."""
    family = GaugeMetricFamily(name, help_, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _times(name: str, help_: str, of_priority: Mapping[str, tuple[Buckets, float]]) -> Metric:
    """Make a histogram of seconds: for each priority its cumulative buckets, and the sum."""
    family = HistogramMetricFamily(name, f"{help_}, since Redis was last empty", labels=["priority"])
    for priority, (buckets, total) in of_priority.items():
        family.add_metric([priority], buckets, total)
    return family


def _total(label: str, name: str, help_: str, prefix: str, counts: Mapping[str, int]) -> Metric:
    family = CounterMetricFamily(name, f"{help_}, since Redis was last empty", labels=[label])
    for key, count in counts.items():
        if key.startswith(prefix):
            family.add_metric([key.removeprefix(prefix)], count)
    return family
