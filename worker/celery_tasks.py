"""Every Celery task: it takes an id from a message, and calls the function that does the work."""

from typing import TYPE_CHECKING

from celery import Celery

from jobs.redis.queue import ANALYSE_TASK, DELIVER_TASK, PROBE_TASK
from worker.delivery.deliver import DeliveryContext, deliver, in_turn
from worker.delivery.probe import probe

if TYPE_CHECKING:
    from worker.inference.analyse import AnalysisContext


def register_inference(app: Celery, context: "AnalysisContext") -> None:
    """Register the task of the inference role."""
    # Only this role has what an analysis imports.
    from worker.inference.analyse import analyse

    @app.task(name=ANALYSE_TASK)
    def analyse_job(job_id: str) -> None:
        analyse(job_id, context)


def register_delivery(app: Celery, context: DeliveryContext) -> None:
    """Register the tasks of the delivery role."""

    @app.task(name=DELIVER_TASK)
    def deliver_callback(job_id: str) -> None:
        in_turn(deliver, context, job_id)

    @app.task(name=PROBE_TASK)
    def send_probe(probe_id: str) -> None:
        in_turn(probe, context, probe_id)
