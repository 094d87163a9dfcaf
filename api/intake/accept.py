"""How a radiograph becomes a job, whichever route it came by: let in, stored, recorded, enqueued, once."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from flask import g, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.admission import Admission
from api.intake.decode import Pictures
from api.intake.idempotency import headers_of, standing
from api.intake.study import Picture
from api.intake.submission import Submission
from jobs.record.errors import QueueUnavailable
from jobs.record.ids import made_at, new_id
from jobs.record.job import Job
from jobs.record.states import Delivery
from jobs.record.study import member_id, study_of
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.claims import Claim
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Intake:
    """What the routes that take radiographs work with."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    admission: Admission
    pictures: Pictures

    def admit(self, client: str, place: str | None = None) -> None:
        """Count one submission of a client, under the claim at `place` if any; RateLimit headers go into `g`.

        Raises Problem: 429 over its quota or with too many jobs waiting, 503 where the queue is full.
        """
        within, g.headers = self.admission.count(client)
        if not within:
            detail = "This client submits more often than its quota allows. Send it again later."
            raise Problem(Slug.QUOTA_EXCEEDED, detail)
        try:
            self.admission.refuse_when_full(client)
        except Problem:
            # What is repeated makes the queue no longer.
            if place is None or self.ledger.claims.read(place) is None:
                raise

    def accept(self, submission: Submission, client: str) -> Job:
        """The job that the submission has become, once it is durable. Raises StoreUnavailable."""
        return self._accepted(_new_job(new_id("job"), submission, client, self.settings), submission.data)

    def accept_once(
        self, submission: Submission, client: str, place: str, own_id: str | None = None, expires: bool = True
    ) -> tuple[Job, Mapping[str, str]]:
        """The job, accepted now or, under the claim at `place`, before; and what to say of that claim.

        A claim of the client's `own_id`, or one that does not expire, lasts as long as the job, any other by
        the settings. Raises Problem:
        409 while the same is in intake, 422 where the place is taken by another submission.
        """
        claim, job = self._claimed(place, new_id("job"), submission.digest, expires and own_id is None)
        if job:
            return job, headers_of(claim, repeated=True)
        job = replace(_new_job(claim.job_id, submission, client, self.settings, place), own_id=own_id)
        return self._accepted(job, submission.data), headers_of(claim, repeated=False)

    def accept_study(
        self, pictures: Sequence[Picture], client: str, place: str | None
    ) -> tuple[Job, Mapping[str, str]]:
        """The record of the study that these have become, once all are durable, or of the one before.

        With a `place` as accept_once. Raises Problem as that does, StoreUnavailable.
        """
        study_id, headers = new_id("study"), {}
        if place is not None:
            text = " ".join(["study", *(picture.submission.digest for picture in pictures)])
            claim, study = self._claimed(place, study_id, hashlib.sha256(text.encode()).hexdigest(), True)
            study_id, headers = claim.job_id, dict(headers_of(claim, repeated=study is not None))
            if study:
                return study, headers
        # The study alone has a callback.
        jobs = [
            replace(
                _new_job(member_id(study_id, number), picture.submission, client, self.settings),
                study=study_id,
                callback_url=None,
                delivery=Delivery.NONE,
            )
            for number, picture in enumerate(pictures, start=1)
        ]
        study = study_of(study_id, jobs, pictures[0].submission.callback_url, place)
        self.ledger.accept_study(
            study, ((job, picture.bytes()) for job, picture in zip(jobs, pictures, strict=True))
        )
        self._fed(study)
        log.info("study accepted", extra={"job": study.id, "client": client})
        return study, headers

    def _claimed(self, place: str, job_id: str, digest: str, expires: bool) -> tuple[Claim, Job | None]:
        claimed_at = made_at(job_id)
        ends = claimed_at + timedelta(seconds=self.settings.idempotency_seconds) if expires else None
        claim, job = standing(Claim(place, job_id, digest, claimed_at, ends), self.ledger)
        if job is None and claim.expires_at:
            self.ledger.due_index.put(claim.job_id, claim.expires_at)
        return claim, job

    def _accepted(self, job: Job, image: bytes) -> Job:
        self.ledger.accept(job, image)
        self._fed(job)
        log.info("job accepted", extra={"job": job.id, "client": job.client})
        return job

    def _fed(self, job: Job) -> None:
        g.setdefault("accepted", []).append(job.id)  # For the audit log.
        try:
            self.queue.feed(job.client, job.priority)
        except QueueUnavailable:
            log.warning("Redis does not answer; the sweeper will enqueue this job", extra={"job": job.id})


def done_with_body() -> None:
    """Let the next submission have this one's slot, which the server took for it (api.server)."""
    request.environ.get("api.free_slot", _nothing)()


def _nothing() -> None:
    pass


def _new_job(
    job_id: str, submission: Submission, client: str, settings: Settings, claim: str | None = None
) -> Job:
    """The job; deadline and retention are the service's where the submission names none of its own.

    The same id and submission make the same job, whenever that is.
    """
    moment = made_at(job_id)
    deadline = submission.deadline_seconds or settings.deadline_seconds
    return Job(
        id=job_id,
        client=client,
        image=submission.image,
        created_at=moment,
        queued_at=moment,
        expires_at=moment + timedelta(seconds=deadline),
        delivery=Delivery.PENDING if submission.callback_url else Delivery.NONE,
        priority=submission.priority,
        reference=submission.reference,
        metadata=submission.metadata,
        callback_url=submission.callback_url,
        acquisition=submission.acquisition,
        retention_seconds=submission.retention_seconds or settings.retention_of(client),
        claim=claim,
        key=g.key.id,
        upload=submission.upload,
        traceparent=g.traceparent,
    )
