"""Serves the metrics in Prometheus' text format: of the API's requests, and of what the stores hold now."""

from collections.abc import Callable, Iterator

from flask import Blueprint, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.http.model_metrics import of_models
from api.http.redis_metrics import by, of_redis
from api.http.request_metrics import request_metrics
from api.openapi.describe import Answer, describe
from jobs.metrics import BuildInfo
from jobs.models.roll_out import RollOuts
from jobs.record.errors import TransientError
from jobs.store.ledger import Ledger
from jobs.store.receivers import Receivers

TEXT = "text/plain; version=0.0.4; charset=utf-8"


def metrics_routes(
    ledger: Ledger, receivers: Receivers, roll_outs: RollOuts, clients: bool = False
) -> Blueprint:
    """Make the blueprint of /metrics. It leaves out the figures of a store that does not answer.

    It names clients only if `clients` is set.
    """
    routes = Blueprint("metrics", __name__)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BuildInfo())
    registry.register(request_metrics())
    registry.register(_Part("redis", lambda: of_redis(ledger, clients)))
    registry.register(_Part("object-store", lambda: _of_objects(ledger, receivers, roll_outs)))

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


def _of_objects(ledger: Ledger, receivers: Receivers, roll_outs: RollOuts) -> Iterator[Metric]:
    failing = [bool(receiver.disabled_at) for receiver in receivers.all_failing()]
    yield by(
        "state",
        "osteo_receivers",
        "Receivers of callbacks that fail, and those that are not called any more",
        {"failing": failing.count(False), "disabled": failing.count(True)},
    )
    yield GaugeMetricFamily(
        "osteo_object_store_takes_writes",
        "1 if the last write to the object store succeeded, 0 if not",
        ledger.objects.takes_writes(),
    )
    yield GaugeMetricFamily(
        "osteo_dead_letters", "Jobs given up, for an operator to retry", _length(ledger.dead_letter_ids())
    )
    yield from of_models(ledger.objects, roll_outs)


def _length(items: Iterator[object]) -> int:
    return sum(1 for _ in items)
