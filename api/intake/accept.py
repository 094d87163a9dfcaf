"""Accepts submissions: admits them, stores each once as a job or study, and enqueues it."""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from flask import request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.caller import Caller
from api.intake.admission import Admission
from api.intake.decode import Pictures
from api.intake.idempotency import headers_of, take_claim
from api.intake.reading_limits import refuse_beyond_quota, refuse_forbidden_training
from api.intake.study import Picture
from api.intake.submission import Submission
from jobs.lifecycle.reading_request import request_reading
from jobs.models.roll_out import RollOuts
from jobs.reading.policy import Policies
from jobs.reading.states import Wish
from jobs.record.errors import QueueUnavailable, TransientError
from jobs.record.ids import made_at, new_id
from jobs.record.job import Job
from jobs.record.states import Delivery, Priority
from jobs.record.study import member_id, study_of
from jobs.redis.queue import JobQueue
from jobs.settings import Settings
from jobs.store.claims import Claim
from jobs.store.ledger import Ledger

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Accepted:
    """The record of the job or study that a submission has become."""

    job: Job
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers that tell the client about its claim."""
    repeated: bool = False
    """Whether the submission was accepted before, and this request changed nothing."""
    position: int | None = None
    """The job's position in the queue, where accepting it has told."""


@dataclass(frozen=True)
class Intake:
    """Accepts submissions. The routes that take radiographs share one."""

    settings: Settings
    ledger: Ledger
    queue: JobQueue
    admission: Admission
    pictures: Pictures
    policies: Policies
    roll_outs: RollOuts

    def admit(self, caller: Caller, claim_key: str | None = None) -> dict[str, str]:
        """Count one submission of the caller, and return the RateLimit headers.

        Raises Problem: 429 over the quota or with too many jobs waiting, 503 where the queue is full. A
        repetition, which has a claim at `claim_key`, is admitted to a full queue: it adds no job.
        """
        within, headers = self.admission.count(caller.client)
        if not within:
            detail = "This client submits more often than its quota allows. Send it again later."
            raise Problem(Slug.QUOTA_EXCEEDED, detail, headers=headers)
        try:
            self.admission.refuse_when_full(caller.client)
        except Problem as problem:
            if claim_key is None or self.ledger.claims.read(claim_key) is None:
                problem.headers |= headers
                raise
        return headers

    def accept(
        self,
        submission: Submission,
        caller: Caller,
        claim_key: str | None = None,
        own_id: str | None = None,
        expires: bool = True,
    ) -> Accepted:
        """Store the submission as a job, and enqueue it; once for each `claim_key`, where one is given.

        A claim of the client's `own_id`, or one that does not expire, lasts as long as the job, any other by
        the settings. Raises StoreUnavailable, and Problem: 409 while the same submission is in intake, 422
        where another submission has the claim.
        """
        self._check_policy([submission], caller.client, claim_key)
        self._refuse_full_archive(submission, caller.client, claim_key)
        if claim_key is None:
            submission = self._with_reading(submission, caller.client)
            job = self._new_job(new_id("job"), submission, caller)
            return Accepted(job, position=self._store(job, submission.data))
        expires = expires and own_id is None
        claim, before = self._claim(claim_key, new_id("job"), submission.digest, expires)
        if before:
            return Accepted(before, headers_of(claim, repeated=True), repeated=True)
        # After the claim, whose digest is of what was sent: the client's policy may change meanwhile.
        submission = self._with_reading(submission, caller.client)
        job = self._new_job(claim.job_id, submission, caller, claim_key)
        job = replace(job, own_id=own_id)
        position = self._store(job, submission.data)
        return Accepted(job, headers_of(claim, repeated=False), position=position)

    def accept_study(self, pictures: Sequence[Picture], caller: Caller, claim_key: str | None) -> Accepted:
        """Store the pictures as the jobs of a study, and enqueue it; once for each `claim_key`.

        Raises StoreUnavailable, and Problem as `accept` does.
        """
        self._check_policy([picture.submission for picture in pictures], caller.client, claim_key)
        self._refuse_full_archive(pictures[0].submission, caller.client, claim_key)
        study_id, headers = new_id("study"), {}
        if claim_key is not None:
            text = " ".join(["study", *(picture.submission.digest for picture in pictures)])
            digest = hashlib.sha256(text.encode()).hexdigest()
            claim, before = self._claim(claim_key, study_id, digest, True)
            study_id, headers = claim.job_id, dict(headers_of(claim, repeated=before is not None))
            if before:
                return Accepted(before, headers, repeated=True)
        # By the study's id: its result has one model. The study alone has a callback.
        model = self.roll_outs.read().assigned(study_id)
        jobs = [
            replace(
                self._new_job(
                    member_id(study_id, number), self._with_reading(picture.submission, caller.client), caller
                ),
                study=study_id,
                callback_url=None,
                delivery=Delivery.NONE,
                model=model,
            )
            for number, picture in enumerate(pictures, start=1)
        ]
        study = study_of(study_id, jobs, pictures[0].submission.callback_url, claim_key)
        self.ledger.accept_study(
            study, ((job, picture.bytes()) for job, picture in zip(jobs, pictures, strict=True))
        )
        self._feed(study)
        for job in jobs:
            self._request_reading(job)
        log.info("study accepted", extra={"job": study.id, "client": caller.client})
        return Accepted(study, headers)

    def _new_job(
        self, job_id: str, submission: Submission, caller: Caller, claim_key: str | None = None
    ) -> Job:
        """Make the job of a submission. It has the service's deadline and retention where it names none.

        The same id, submission and caller make the same job at any time, but for its model: the canary, where
        the job lies in its share now.
        """
        moment = made_at(job_id)
        deadline = submission.deadline_seconds or self.settings.deadline_seconds
        return Job(
            id=job_id,
            client=caller.client,
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
            filed_under=submission.filed_under,
            retention_seconds=submission.retention_seconds or self.settings.retention_of(caller.client),
            claim=claim_key,
            key=caller.key.id,
            upload=submission.upload,
            reading=submission.reading,
            training_use=submission.training_use,
            consent_reference=submission.consent_reference,
            traceparent=caller.traceparent,
            model=self.roll_outs.read().assigned(job_id),
        )

    def _claim(self, claim_key: str, job_id: str, digest: str, expires: bool) -> tuple[Claim, Job | None]:
        claimed_at = made_at(job_id)
        ends = claimed_at + timedelta(seconds=self.settings.idempotency_seconds) if expires else None
        claim, job = take_claim(Claim(claim_key, job_id, digest, claimed_at, ends), self.ledger)
        if job is None and claim.expires_at:
            self.ledger.due_index.put(claim.job_id, claim.expires_at)
        return claim, job

    def _check_policy(self, submissions: Sequence[Submission], client: str, claim_key: str | None) -> None:
        """Raise Problem where the client's policy does not allow what the submissions ask for.

        422 where no reader reads for the client or training is forbidden, 429 where too many of its readings
        are open. Before the claim, so that its key stays free. A repetition, which has a claim, gets its job.
        """
        policy = self.policies.of(client)
        trains = any(one.training_use for one in submissions)
        wishes = [one.reading["wish"] if one.reading else policy.wish for one in submissions]
        wished = sum(wish != Wish.NONE for wish in wishes)
        if not (wished or trains) or (claim_key is not None and self.ledger.claims.read(claim_key)):
            return
        if trains:
            refuse_forbidden_training(policy)
        if not wished:
            return
        if policy.groups:
            refuse_beyond_quota(client, policy, self.ledger.view.reading_figures, wished)
        elif any(one.reading and one.reading["wish"] != Wish.NONE for one in submissions):
            detail = "No reader reads for this client. Leave `read` out, or ask the operator."
            raise Problem(Slug.NOT_READ, detail)

    def _refuse_full_archive(self, submission: Submission, client: str, claim_key: str | None) -> None:
        """Raise Problem 429 for a full client queue of priority `archive`. A repetition is let in."""
        if submission.priority is not Priority.ARCHIVE:
            return
        try:
            self.admission.refuse_when_archive_is_full(client)
        except Problem:
            if claim_key is None or self.ledger.claims.read(claim_key) is None:
                raise

    def _with_reading(self, submission: Submission, client: str) -> Submission:
        """Return the submission with the wish of the client's policy, if it names none."""
        if submission.reading:
            unread = submission.reading["wish"] == Wish.NONE
            return replace(submission, reading=None) if unread else submission
        wish = self.policies.of(client).wish
        if wish is Wish.NONE:
            return submission
        return replace(submission, reading={"wish": wish, "due_seconds": None, "question": None})

    def _store(self, job: Job, image: bytes) -> int | None:
        """Store and enqueue the job, and return its position in the queue, where Redis answers."""
        position = self.ledger.accept(job, image, self.queue.send)
        self._request_reading(job)
        log.info("job accepted", extra={"job": job.id, "client": job.client})
        return position

    def _request_reading(self, job: Job) -> None:
        """Request the reading that need not wait for the model. Any other is requested once the job ends."""
        if job.reading and job.reading["wish"] == Wish.REQUESTED:
            try:
                request_reading(job, self.ledger, self.queue)
            except TransientError as error:
                log.warning("the reading is requested once the job ends: %s", error, extra={"job": job.id})

    def _feed(self, study: Job) -> None:
        try:
            self.queue.feed(study.client, study.priority)
        except QueueUnavailable:
            log.warning("Redis does not answer; the sweeper will send its jobs", extra={"job": study.id})


def done_with_body() -> None:
    """Free the slot that the server (api.server) took for this request."""
    request.environ.get("api.free_slot", _nothing)()


def _nothing() -> None:
    pass
