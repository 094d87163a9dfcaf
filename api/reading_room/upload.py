"""Takes radiographs from the worklist: dropped onto the page or chosen, many files at once."""

from datetime import timedelta

from flask import Blueprint, Request, g, jsonify, redirect, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.caller import Caller
from api.identity.key import Key
from api.identity.scopes import Scope
from api.intake.accept import done_with_body
from api.intake.body_limits import takes_form
from api.intake.submission import check_submission, too_large
from api.openapi.describe import Size
from api.reading_room.page import room, wants_page
from api.reading_room.parts import Room
from api.reading_room.worklist import worklist_page
from jobs.reading.reader import Reader
from jobs.record.job import Job, now
from jobs.store.claims import idempotency_claim_key

_RESENT_WITHIN = timedelta(hours=1)
"""Time within which a reader who has missed the answer sends a file again."""
_FIELDS = ("read", "priority", "reference", "question", "training_use", "consent_reference")


def add_upload(pages: Blueprint, parts: Room) -> None:
    """Add the upload to the reading room."""

    @pages.post("/jobs")
    @takes_form(Size.IMAGE)
    def upload() -> Response:
        caller = _caller(g.reader)
        files, fields = _given(request, parts)
        jobs: list[Job] = []
        faults: list[tuple[str, str]] = []
        for file in files:
            try:
                jobs.append(_accept(file, fields, caller, parts))
                g.action = "submitJob"
            except Problem as problem:
                if not wants_page():
                    raise
                faults.append((file.filename or "A file", problem.detail))
        done_with_body()
        if not wants_page():
            response = jsonify(jobs=[{"id": job.id, "page": f"{room()}/{job.id}"} for job in jobs])
            response.status_code = 201
            return response
        return worklist_page(parts, 422, faults) if faults else redirect(room(), 303)


def _given(request: Request, parts: Room) -> tuple[list[FileStorage], dict[str, str]]:
    """Return the files and the fields of the form. Raises Problem."""
    try:
        files = [file for file in request.files.getlist("image") if file.filename]
        fields = {name: request.form[name].strip() for name in _FIELDS if request.form.get(name, "").strip()}
    except RequestEntityTooLarge as error:
        raise too_large(parts.intake.settings.max_bytes) from error
    if not files:
        raise Problem(Slug.MALFORMED, "No file was chosen. Choose one or more radiographs, and send them.")
    if "consent_reference" in fields and "training_use" not in fields:
        detail = "A consent is named, and models may not learn. Tick that they may, or leave the consent out."
        raise Problem(Slug.MALFORMED, detail)
    return files, fields


def _accept(file: FileStorage, fields: dict[str, str], caller: Caller, parts: Room) -> Job:
    intake = parts.intake
    g.headers = intake.admit(caller)
    submission = check_submission(file.read(), fields, caller.client, intake.settings, intake.pictures)
    # The page may have lost the answer, and the reader sends the same again. No client's key begins so.
    key = idempotency_claim_key(caller.client, f"\n{caller.key.id} {submission.digest}")
    accepted = intake.accept(submission, caller, key)
    if accepted.repeated and _is_another(accepted.job):
        accepted = intake.accept(submission, caller)
    if not accepted.repeated:
        g.setdefault("accepted", []).append(accepted.job.id)  # For the audit log.
    return accepted.job


def _is_another(before: Job) -> bool:
    """Return whether a reader who sends what became this job means another job: it failed, or is long ago."""
    failed = before.state.final and before.result is None
    return failed or now() - before.created_at > _RESENT_WITHIN


def _caller(reader: Reader) -> Caller:
    """Return the reader as who submits for a client. Raises Problem 403 for a reader of no client."""
    if reader.client is None:
        raise Problem(
            Slug.INSUFFICIENT_SCOPE, "You submit for no client: readers of groups only read.", scope="submit"
        )
    key = Key(reader.id, reader.client, frozenset({Scope.SUBMIT}), reader.created_at)
    return Caller(reader.client, key, g.traceparent)
