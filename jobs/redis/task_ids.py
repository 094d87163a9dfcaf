"""Names the Celery tasks of a job, so that an operator finds them in Flower. These ids decide nothing."""

from jobs.record.job import Job
from jobs.record.states import State


def analysis_task_id(job: Job, attempt: int) -> str:
    """Return the task id of an attempt: `<job id>-<attempt>`, or `<job id>_1-<attempt>` after a retry."""
    return f"{_retried(job)}-{attempt}"


def next_task_id(job: Job) -> str:
    """Return the task id of a job's next attempt, or of the next call of its receiver."""
    if job.state is State.QUEUED:
        return analysis_task_id(job, job.attempts + 1)
    return f"{_retried(job)}-deliver-{job.delivery_attempts + 1}"


def probe_task_id(probe_id: str) -> str:
    """Return the task id of a test event, which is sent once."""
    return f"{probe_id}-1"


def _retried(job: Job) -> str:
    return f"{job.id}_{job.retries}" if job.retries else job.id
