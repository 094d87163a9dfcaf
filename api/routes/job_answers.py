"""Reads the job that a request names, and makes an answer of it, for all routes under /v1/jobs."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from flask import Response, g, jsonify

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.idempotency import id_of
from jobs.record.documents import JobDocument, document
from jobs.record.errors import NotStored, QueueUnavailable
from jobs.record.job import Job
from jobs.record.states import State
from jobs.store.ledger import Ledger
from jobs.targets.documents import TargetsDocument
from jobs.targets.events import present_targets

log = logging.getLogger(__name__)

T = TypeVar("T")

OWN_JOB_PROBLEMS = (Slug.NO_SUCH_JOB, Slug.GONE)
"""The problems of every route that names a job."""
POLL_SECONDS = 1
"""Seconds in Retry-After for a client that polls."""


def own_job(job_id: str, ledger: Ledger) -> Job:
    """Read the caller's job by its id, which the service or the client chose.

    Raises Problem: 404 for no such job of the client, 410 for a deleted job.
    """
    own = id_of(job_id, g.caller.client, ledger)
    if own:
        try:
            job = ledger.current(own)
        except NotStored:
            job = None
        if job and job.client == g.caller.client:
            return not_gone(job)
    raise Problem(Slug.NO_SUCH_JOB, "There is no such job. Check the id, and that the key is this client's.")


def not_gone(job: Job) -> Job:
    """Return the job. Raises Problem 410 for a deleted job."""
    if job.state is State.ERASED:
        raise _gone()
    return job


def forget_if_deleted(job_id: str, ledger: Ledger, forget: Callable[[str], None]) -> None:
    """Erase by `forget` what was just written for a job that was deleted meanwhile. Raises Problem 410."""
    try:
        deleted = ledger.read(job_id).state is State.ERASED
    except NotStored:
        deleted = True
    if deleted:
        forget(job_id)
        raise _gone()


def _gone() -> Problem:
    return Problem(Slug.GONE, "This job was deleted, with all that belonged to it.")


def succeeded_job(job_id: str, ledger: Ledger) -> Job:
    """Read the caller's job, which has a result. Raises Problem as `own_job` does, and 409 without one."""
    job = own_job(job_id, ledger)
    if job.state is State.SUCCEEDED:
        return job
    if job.error:
        raise Problem(Slug.JOB_FAILED, f"The job failed: {job.error['detail']}", error=job.error)
    detail = f"The job is {job.state}; its result is not there yet. Ask again later."
    raise Problem(Slug.NOT_READY, detail, retry_after=POLL_SECONDS)


def targets_now(
    job: Job, ledger: Ledger, target_seconds: int, max_age_s: float | None = None
) -> TargetsDocument:
    """Read the targets of the caller's succeeded job as they are now. Raises Problem as `own_job` does."""
    try:
        return present_targets(job, ledger, time.time_ns(), target_seconds, max_age_s)
    except NotStored:
        own_job(job.id, ledger)  # Raises 410 where the job, or its study, has just been deleted.
        raise


def job_document(job: Job, ledger: Ledger, public_url: str, known_position: int | None = None) -> JobDocument:
    """Make the JSON of a job, with its position in the queue: the known one, or as Redis answers."""
    if known_position is not None:
        return document(job, public_url, known_position)
    try:
        position = ledger.view.client_queues.position(job)
    except QueueUnavailable:
        position = None
    return document(job, public_url, position)


def job_answer(
    job: Job, ledger: Ledger, public_url: str, status: int = 200, known_position: int | None = None
) -> Response:
    """Make an answer of the job, with its position in the queue as `job_document` does."""
    response = jsonify(job_document(job, ledger, public_url, known_position))
    response.status_code = status
    return response


def read_stored(read: Callable[[Job], T], job: Job, ledger: Ledger) -> T:
    """Read an object of a job. Raises Problem: 410 for a deleted job, 500 for a missing object."""
    try:
        return read(job)
    except NotStored as error:
        own_job(job.id, ledger)  # Raises 410 if the job has just been deleted.
        log.error("an object of this job is missing", extra={"job": job.id})
        detail = "This file is missing from the object store. Tell the operator the id of the job."
        raise Problem(Slug.OBJECT_MISSING, detail) from error
