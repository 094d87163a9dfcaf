"""Collects what the object store holds of models: the reference of the active one, and the shadow's share."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily, Metric

from jobs.models.roll_out import RollOuts
from jobs.record.errors import NotStored
from jobs.store.objects import Objects
from jobs.store.served_model import served_model


def of_models(objects: Objects, roll_outs: RollOuts) -> Iterator[Metric]:
    """Yield the figures. Raises StoreUnavailable."""
    roll_out = roll_outs.read()
    yield GaugeMetricFamily(
        "osteo_shadow_ratio",
        "Share of the jobs that the roll-out has the shadow score",
        roll_out.shadow_percent / 100,
    )
    try:
        served = served_model(objects)
    except NotStored:
        return
    if reference := served.get("reference"):
        yield from _of_reference(served["bundle"], reference)


def _of_reference(bundle: str, reference: Mapping[str, Any]) -> Iterator[Metric]:
    counts = reference["probabilities"]
    buckets = [
        (str(number / len(counts)), float(upto)) for number, upto in enumerate(accumulate(counts), start=1)
    ]
    probability = HistogramMetricFamily(
        "osteo_model_reference_probability",
        "Calibrated probability of the X-rays of the test part, by the model in service",
        labels=["bundle"],
    )
    probability.add_metric([bundle], [*buckets, ("+Inf", buckets[-1][1])], None)
    indeterminate = GaugeMetricFamily(
        "osteo_model_reference_indeterminate_ratio",
        "Share of the X-rays of the test part that the model in service calls indeterminate",
        labels=["bundle"],
    )
    if reference["indeterminate"] is not None:
        indeterminate.add_metric([bundle], reference["indeterminate"])
    yield from (probability, indeterminate)
