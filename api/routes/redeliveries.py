"""Sends callbacks once more, on a client's order: one, or all since a time, within its quota."""

import logging
from dataclasses import dataclass
from datetime import datetime
from itertools import islice, takewhile
from typing import TypedDict

from flask import g

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.admission import Admission
from jobs.record.documents import DeliveryAttempt
from jobs.record.errors import Conflict, QueueUnavailable
from jobs.record.ids import made_at
from jobs.record.job import Job
from jobs.redis.queue import JobQueue
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)

MOST_LOOKED_AT = 500
"""Jobs that one request lets be delivered again; the cursor goes on behind them."""


class Deliveries(TypedDict):
    """The calls of a job's receiver, first to last."""

    deliveries: list[DeliveryAttempt]


@dataclass(frozen=True)
class Redeliveries:
    """Lets callbacks be due at once. Every method raises Problem 429 over the client's quota."""

    ledger: Ledger
    queue: JobQueue
    admission: Admission

    def of(self, job: Job) -> Job:
        """Let the callback of this job or study be due. Raises Problem 409 where there is none yet."""
        g.headers = self.admission.admit_callbacks(job.client)
        if not self._again(job.id):
            detail = "There is no callback to deliver: this has not ended, or named no callback_url."
            raise Problem(Slug.NOTHING_TO_DELIVER, detail)
        return self.ledger.read(job.id)

    def since(self, client: str, since: datetime, cursor: str | None) -> tuple[int, str | None]:
        """Let the callbacks of a client's jobs be due that were made since then, the newest first.

        Begins behind the job `cursor`. Returns how many there were, and the cursor to go on from, if any.
        """
        most = min(MOST_LOOKED_AT, self.admission.settings.client_callbacks)
        newer = takewhile(lambda job_id: made_at(job_id) >= since, self.ledger.of_client(client, cursor))
        looked_at = list(islice(newer, most + 1))
        page = looked_at[:most]
        g.headers = self.admission.admit_callbacks(client, max(1, len(page)))
        count = sum(self._again(job_id) for job_id in page)
        return count, page[-1] if len(looked_at) > most else None

    def _again(self, job_id: str) -> bool:
        """Let a job's callback be due once more; False where it has none, or has not ended."""
        job = self.ledger.read(job_id)
        if not job.state.final or not job.callback_url:
            return False
        try:
            again = self.ledger.redeliver(job)
            self.queue.feed_deliveries(again.client)
        except Conflict:
            return False  # A delivery is being recorded this very moment.
        except QueueUnavailable:
            log.warning("Redis does not answer; this callback waits for the sweeper", extra={"job": job_id})
        return True
