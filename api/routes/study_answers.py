"""Reads the study that a request names, and makes an answer of it, for all routes under /v1/studies."""

from contextlib import suppress

from flask import Response, g, jsonify

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.routes.waiting import Snapshot
from jobs.record.errors import NotStored
from jobs.record.ids import is_id
from jobs.record.job import Job
from jobs.record.states import State
from jobs.record.study import StudyDocument, study_document
from jobs.store.ledger import Ledger


def own_study(study_id: str, ledger: Ledger) -> Job:
    """Read the caller's study. Raises Problem: 404 for none of the client, 410 for a deleted study."""
    if is_id("study", study_id):
        with suppress(NotStored):
            study = ledger.current(study_id)
            if study.client == g.caller.client:
                return not_gone(study)
    detail = "There is no such study. Check the id, and that the key is this client's."
    raise Problem(Slug.NO_SUCH_STUDY, detail)


def not_gone(study: Job) -> Job:
    """Return the study. Raises Problem 410 for a deleted study."""
    if study.state is State.ERASED:
        raise Problem(Slug.GONE, "This study was deleted, with all that belonged to it.")
    return study


def snapshot_of(study: Job, ledger: Ledger, public_url: str) -> Snapshot:
    """Read the jobs of the study. The version of the snapshot grows with every change of one of them."""
    jobs = list(ledger.current_many(study.members))

    def document() -> StudyDocument:
        return study_document(study, jobs, public_url)

    return Snapshot(study.version + sum(job.version for job in jobs), document)


def study_answer(study: Job, ledger: Ledger, public_url: str, status: int = 200) -> Response:
    """Make an answer of the study."""
    response = jsonify(snapshot_of(study, ledger, public_url).document())
    response.status_code = status
    return response
