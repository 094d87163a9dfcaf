"""Names the Celery tasks of a job, so that an operator finds them in Flower. These ids decide nothing."""

from collections.abc import Sequence
from typing import NamedTuple

from celery.utils import uuid

from jobs.record.job import Job
from jobs.record.states import State


class QueueMessage(NamedTuple):
    """A message to workers: the id of a job, a study or a test event, and that of its Celery task."""

    item: str
    task_id: str


def messages_of(chosen: Sequence[bytes]) -> list[QueueMessage]:
    """Read what the scripts in Redis choose: ids and task ids in turn. One that the view lacks has none."""
    texts = [text.decode() for text in chosen]
    return [
        QueueMessage(item, task or _unknown(item)) for item, task in zip(texts[::2], texts[1::2], strict=True)
    ]


def _unknown(item: str) -> str:
    # A test event is sent once.
    return f"{item}-1" if item.startswith("probe_") else uuid()


def analysis_task_id(job: Job, attempt: int) -> str:
    """Return the task id of an attempt: `<job id>-<attempt>`, or `<job id>_1-<attempt>` after a retry."""
    return f"{_retried(job)}-{attempt}"


def next_task_id(job: Job) -> str:
    """Return the task id of a job's next attempt, or of the next call of its receiver."""
    if job.state is State.QUEUED:
        return analysis_task_id(job, job.attempts + 1)
    return f"{_retried(job)}-deliver-{job.delivery_attempts + 1}"


def _retried(job: Job) -> str:
    return f"{job.id}_{job.retries}" if job.retries else job.id
