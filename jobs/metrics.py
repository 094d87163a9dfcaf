"""Defines the metrics that the API and the workers share."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.version import VERSION


class BuildInfo(Collector):
    """The version of this process, as the constant 1 with a label."""

    def collect(self) -> Iterator[Metric]:
        """Yield `osteo_build_info`."""
        yield InfoMetricFamily("osteo_build", "The version that runs", value={"version": VERSION})


def refusals(registry: CollectorRegistry) -> Counter:
    """Register the counter of refusals. Its label is the last part of the problem's `type`."""
    help_ = "Requests that the API answered with a problem, and radiographs that inference refused"
    return Counter("osteo_refusals", help_, ["type"], registry=registry)
