"""The job as clients see it: the JSON of the API's answers and of a callback's `data`."""

from datetime import datetime
from typing import Any

from jobs.job import Job, moment_text
from jobs.states import State


def document(job: Job, base_url: str, queue_position: int | None = None) -> dict[str, Any]:
    """The public JSON of `job`, with links below `base_url`. Holds nothing that the client must not see."""
    here = f"{base_url}/v1/jobs/{job.id}"
    links = {"self": here, "image": f"{here}/image"}
    if job.state is State.SUCCEEDED:
        links |= {"result": f"{here}/result", "heatmap": f"{here}/heatmap"}
    return {
        "id": job.id,
        "state": job.state,
        "delivery": job.delivery,
        "reference": job.reference,
        "metadata": job.metadata,
        "priority": job.priority,
        "created_at": moment_text(job.created_at),
        "expires_at": _text(job.expires_at),
        "retention_seconds": job.retention_seconds,
        "started_at": _text(job.started_at),
        "finished_at": _text(job.finished_at),
        "attempts": job.attempts,
        "queue_position": queue_position,
        "error": job.error,
        "result": job.result,
        "links": links,
    }


def _text(moment: datetime | None) -> str | None:
    return moment_text(moment) if moment else None
