"""Whose study a request asks for, and the study as an answer: what all routes under /v1/studies share."""

from contextlib import suppress

from flask import Response, g, jsonify

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.routes.waiting import Told
from jobs.record.errors import NotStored
from jobs.record.ids import is_id
from jobs.record.job import Job
from jobs.record.states import State
from jobs.record.study import StudyDocument, study_document
from jobs.store.ledger import Ledger


def own_study(study_id: str, ledger: Ledger) -> Job:
    """The record of the authenticated client's study. Raises Problem: 404, or 410 where it was deleted."""
    if is_id("study", study_id):
        with suppress(NotStored):
            study = ledger.current(study_id)
            if study.client == g.caller.client:
                return not_gone(study)
    detail = "There is no such study. Check the id, and that the key is this client's."
    raise Problem(Slug.NO_SUCH_STUDY, detail)


def not_gone(study: Job) -> Job:
    """The study itself. Raises Problem 410 where it was deleted."""
    if study.state is State.ERASED:
        raise Problem(Slug.GONE, "This study was deleted, with all that belonged to it.")
    return study


def told_of(study: Job, ledger: Ledger, public_url: str) -> Told:
    """The study with its jobs as they are now. Its version grows with every change of one of them."""
    jobs = list(ledger.current_many(study.members))

    def document() -> StudyDocument:
        return study_document(study, jobs, public_url)

    return Told(study.version + sum(job.version for job in jobs), document)


def study_answer(study: Job, ledger: Ledger, public_url: str, status: int = 200) -> Response:
    """The study as an answer."""
    response = jsonify(told_of(study, ledger, public_url).document())
    response.status_code = status
    return response
