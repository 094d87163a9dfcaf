"""How a radiograph becomes a job, whichever route it came by: let in, stored, recorded, enqueued."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from flask import g

from api.admission import Admission
from api.problem import Problem
from api.submission import Submission
from jobs.errors import QueueUnavailable
from jobs.job import ImageFacts, Job, new_job_id, now
from jobs.ledger import Ledger
from jobs.queue import JobQueue
from jobs.settings import Settings
from jobs.states import Delivery

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intake:
    """What the routes that take radiographs work with."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    admission: Admission

    def admit(self, client: str) -> None:
        """Count one submission of a client; its RateLimit headers go into `g.headers`.

        Raises Problem: 429 over its quota or with too many jobs waiting, 503 where the queue is full.
        """
        within, g.headers = self.admission.count(client)
        if not within:
            detail = "This client submits more often than its quota allows. Send it again later."
            raise Problem(429, "quota-exceeded", detail)
        self.admission.refuse_when_full(client)

    def accept(self, submission: Submission, client: str) -> Job:
        """The job that the submission has become, once it is durable. Raises StoreUnavailable."""
        job = _new_job(submission, client, timedelta(seconds=self.settings.deadline_seconds))
        self.ledger.accept(job, submission.data)
        try:
            self.queue.feed(job.client, job.priority)
        except QueueUnavailable:
            log.warning("Redis does not answer; the sweeper will enqueue this job", extra={"job": job.id})
        log.info("job accepted", extra={"job": job.id, "client": job.client})
        return job


def _new_job(submission: Submission, client: str, deadline: timedelta) -> Job:
    moment = now()
    radiograph = submission.radiograph
    return Job(
        id=new_job_id(),
        client=client,
        image=ImageFacts(
            sha256=radiograph.sha256,
            width=radiograph.width,
            height=radiograph.height,
            format=radiograph.format,
            size=len(submission.data),
        ),
        created_at=moment,
        queued_at=moment,
        expires_at=moment + deadline,
        delivery=Delivery.PENDING if submission.callback_url else Delivery.NONE,
        priority=submission.priority,
        reference=submission.reference,
        metadata=submission.metadata,
        callback_url=submission.callback_url,
        acquisition=radiograph.acquisition.facts() or None,
    )
