"""Names the models that this process runs, for Prometheus."""

from collections.abc import Iterable
from typing import Protocol

from prometheus_client import CollectorRegistry, Gauge

REGISTRY = CollectorRegistry()
_MODEL = Gauge(
    "osteo_model_info",
    "The models that this process runs",
    ["name", "version", "sha256", "bundle", "role"],
    registry=REGISTRY,
)


class Model(Protocol):
    """What names a model: model.classifier.Classifier has it."""

    name: str
    version: str
    sha256: str
    digest: str


def name_models(models: Iterable[tuple[str, Model]]) -> None:
    """Name the models that are loaded now, each with its role: active, canary or shadow."""
    _MODEL.clear()
    for role, model in models:
        _MODEL.labels(model.name, model.version, model.sha256, model.digest, role).set(1)
