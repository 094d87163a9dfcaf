"""Registers every Celery task. A task gets an id, and calls the function that does the work."""

from functools import partial
from typing import TYPE_CHECKING

from celery import Celery, Task
from celery.exceptions import Ignore

from jobs.redis.queue import ANALYSE_TASK, DELIVER_TASK, PROBE_TASK
from worker.delivery.deliver import DeliveryContext, deliver, with_call_slot
from worker.delivery.probe import probe

if TYPE_CHECKING:
    from worker.inference.analyse import AnalysisContext


class AttemptFailed(Exception):
    """An attempt ended without a result. Flower then shows its task as failed."""


def register_inference(app: Celery, context: "AnalysisContext") -> None:
    """Register the task of the inference role."""
    # Only this role has the packages that an analysis imports.
    from worker.inference.analyse import Attempt, analyse

    # Celery acknowledges the message however the task ends, and does not repeat it: our record decides.
    @app.task(name=ANALYSE_TASK, throws=(AttemptFailed,), bind=True)
    def analyse_job(task: Task, job_id: str) -> None:
        attempt = analyse(job_id, context, _span_that_sent(task))
        if attempt is Attempt.FAILED:
            raise AttemptFailed(attempt.value)
        if attempt is Attempt.NONE:
            raise Ignore(attempt.value)  # A second message of the attempt: the first one reports its end.


def register_delivery(app: Celery, context: DeliveryContext) -> None:
    """Register the tasks of the delivery role."""

    @app.task(name=DELIVER_TASK, bind=True)
    def deliver_callback(task: Task, job_id: str) -> None:
        with_call_slot(partial(deliver, sent=_span_that_sent(task)), context, job_id)

    @app.task(name=PROBE_TASK)
    def send_probe(probe_id: str) -> None:
        with_call_slot(probe, context, probe_id)


def _span_that_sent(task: Task) -> str | None:
    traceparent: str | None = task.request.get("traceparent")
    return traceparent
