"""Counts and measures the analyses of this process for Prometheus, out of the jobs' records."""

from prometheus_client import CollectorRegistry, Counter, Histogram

from jobs.metrics import refusals
from jobs.record.job import Job
from jobs.record.states import Priority
from model.image_warnings import CLIPPED, CUT_OFF, DIM, DISPLAY, SMALL, UNUSUAL

REGISTRY = CollectorRegistry()
_QUEUE_SECONDS = Histogram(
    "osteo_job_queue_seconds",
    "Time that a job has waited in the queue when a worker takes it",
    ["priority"],
    registry=REGISTRY,
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400),
)
_ANALYSIS_SECONDS = Histogram(
    "osteo_job_analysis_seconds",
    "Time from a worker's taking a job to the end of the analysis",
    registry=REGISTRY,
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
_BATCH_SIZE = Histogram(
    "osteo_batch_size",
    "Radiographs in one run of the model",
    registry=REGISTRY,
    buckets=(1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128, 256),
)
_PROBABILITY = Histogram(
    "osteo_result_probability",
    "Calibrated probability of a fracture, of each result",
    ["bundle"],
    registry=REGISTRY,
    buckets=[step / 20 for step in range(1, 21)],
)
_RESULTS = Counter("osteo_results", "Results", ["finding", "bundle"], registry=REGISTRY)
_WARNINGS = Counter("osteo_warnings", "Warnings in results", ["type"], registry=REGISTRY)
_REFUSALS = refusals(REGISTRY)
_ATTEMPTS_BROKEN = Counter(
    "osteo_attempts_broken", "Attempts that ended in an error of the service", registry=REGISTRY
)
_FINDINGS = ("fracture", "no_fracture", "indeterminate")
_REFUSAL_TYPES = ("not-a-radiograph", "unreadable-image")


def begin(bundle: str) -> None:
    """Begin every series at 0, so that a first refusal is an increase; results are those of this bundle."""
    _PROBABILITY.labels(bundle)
    for finding in _FINDINGS:
        _RESULTS.labels(finding, bundle)
    for metric, values in (
        (_QUEUE_SECONDS, tuple(Priority)),
        (_WARNINGS, (UNUSUAL, DISPLAY, SMALL, DIM, CLIPPED, CUT_OFF)),
        (_REFUSALS, _REFUSAL_TYPES),
    ):
        for value in values:
            metric.labels(value)


def count_start(job: Job) -> None:
    """Measure how long a job has waited that this worker has taken."""
    assert job.started_at
    # The clock of the process that queued it may be ahead.
    waited = max(0.0, (job.started_at - job.queued_at).total_seconds())
    _QUEUE_SECONDS.labels(job.priority).observe(waited)


def count_batch(size: int) -> None:
    """Measure a run of the model on so many radiographs."""
    _BATCH_SIZE.observe(size)


def count_broken_attempt() -> None:
    """Count an attempt that ended in an error of the service."""
    _ATTEMPTS_BROKEN.inc()


def count_end(job: Job) -> None:
    """Count a job whose analysis has ended, with its result or refusal. Ignores one that was never taken."""
    if not job.started_at or not job.finished_at:
        return
    _ANALYSIS_SECONDS.observe((job.finished_at - job.started_at).total_seconds())
    if job.result:
        bundle = job.result["model"]["bundle"]
        _RESULTS.labels(job.result["finding"], bundle).inc()
        _PROBABILITY.labels(bundle).observe(job.result["probability"])
        for warning in job.result["warnings"]:
            _WARNINGS.labels(warning["type"]).inc()
    elif job.error and job.error["type"] in _REFUSAL_TYPES:
        _REFUSALS.labels(job.error["type"]).inc()
