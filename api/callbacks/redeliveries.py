"""Sends callbacks again when a client asks for it: of one job, or of all since a time, within its quota."""

import logging
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import TypedDict

from flask import g

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.admission import Admission
from jobs.lifecycle.manual_retry import redeliver
from jobs.record.documents import DeliveryAttempt
from jobs.record.errors import IllegalMove, QueueUnavailable
from jobs.record.ids import made_at
from jobs.record.job import Job
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

MOST_LOOKED_AT = 500
"""Jobs that one request looks at. The cursor continues after the last of them."""


class Deliveries(TypedDict):
    """The calls of a job's receiver, first to last."""

    deliveries: list[DeliveryAttempt]


@dataclass(frozen=True)
class Redeliveries:
    """Makes callbacks due at once. Every method raises Problem 429 over the client's quota."""

    ledger: Ledger
    queue: JobQueue
    admission: Admission

    def of(self, job: Job) -> Job:
        """Make the callback of this job or study due. Raises Problem 409 where there is none."""
        g.headers = self.admission.admit_callbacks(job.client)
        if not self._make_due(job.id):
            detail = "There is no callback to deliver: this has not ended, or named no callback_url."
            raise Problem(Slug.NOTHING_TO_DELIVER, detail)
        return self.ledger.read(job.id)

    def since(self, client: str, since: datetime, cursor: str | None) -> tuple[int, str | None]:
        """Make the callbacks due of the client's jobs that were made at `since` or later, newest first.

        Begins after the job `cursor`. Returns the number of callbacks, and the cursor to continue from, or
        None.
        """
        most = min(MOST_LOOKED_AT, self.admission.settings.client_callbacks)
        newer = takewhile(lambda job_id: made_at(job_id) >= since, self.ledger.of_client(client, cursor))
        looked_at = list(islice(newer, most + 1))
        page = looked_at[:most]
        g.headers = self.admission.admit_callbacks(client, max(1, len(page)))
        count = sum(self._make_due(job_id) for job_id in page)
        return count, page[-1] if len(looked_at) > most else None

    def _make_due(self, job_id: str) -> bool:
        """Make a job's callback due. Returns False for a job that has none, or has not ended."""
        job = self.ledger.read(job_id)
        if not job.state.final or not job.callback_url:
            return False
        try:
            redeliver(job, self.ledger)
        except IllegalMove:
            return False  # It was deleted, or is retried, since it was read.
        try:
            self.queue.feed_deliveries(job.client)
        except QueueUnavailable:
            log.warning("Redis does not answer; this callback waits for the sweeper", extra={"job": job_id})
        return True
