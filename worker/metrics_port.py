"""Serves the metrics of a worker process on a port of its own."""

import logging

from prometheus_client import (
    CollectorRegistry,
    ProcessCollector,
    disable_created_metrics,
    start_http_server,
)

from jobs.metrics import BuildInfo
from jobs.settings import Settings, SettingsError

log = logging.getLogger(__name__)


def serve_metrics(settings: Settings, *of_role: CollectorRegistry) -> None:
    """Serve these metrics, the version, and what the process uses of the machine, if a port is set.

    Raises SettingsError where the port is taken, or the address is none of this machine.
    """
    if not settings.metrics_port:
        return
    # Prometheus needs no second series for the start of each counter.
    disable_created_metrics()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(BuildInfo())
    ProcessCollector(registry=registry)
    for metrics in of_role:
        registry.register(metrics)
    address, port = settings.metrics_address, settings.metrics_port
    try:
        start_http_server(port, address, registry)
    except OSError as error:
        raise SettingsError(
            f"OSTEO_METRICS_PORT={port} at OSTEO_METRICS_ADDRESS={address} cannot be listened on:"
            f" {error.strerror}. Give each worker of a machine a port of its own."
        ) from error
    log.info("metrics are at %s, port %d", address, port)
