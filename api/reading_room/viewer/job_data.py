"""Serves the pixels, the preview, the answer and the heat map of a radiograph to its reader's viewer."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from flask import Blueprint, Response, g, jsonify

from api.audited import VIEWED
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.reading_room.parts import Opened, Room
from api.results.overlay import heat_layer_of
from api.results.pixels import preview_of
from jobs.record.errors import NotStored
from jobs.record.job import Job

Made = TypeVar("Made")


def add_job_data(pages: Blueprint, parts: Room) -> None:
    """Add these routes to the reading room."""

    @pages.get("/<job_id>/pixels")
    def pixels(job_id: str) -> Response:
        job = _opened(job_id, parts).job
        return parts.pixels.answer(job, partial(_image, job, parts))

    @pages.get("/<job_id>/preview.jpg")
    def preview(job_id: str) -> Response:
        job = _opened(job_id, parts).job
        return Response(preview_of(job, _image(job, parts), parts.pixels.pictures), content_type="image/jpeg")

    @pages.get("/<job_id>/answer")
    def answer(job_id: str) -> Response:
        opened = _opened(job_id, parts)
        found = parts.answer(opened)
        return jsonify(found) if found else _no_answer(opened)

    @pages.get("/<job_id>/heat.png")
    def heat(job_id: str) -> Response:
        opened = _opened(job_id, parts)
        if not parts.answer(opened):
            _no_answer(opened)
        drawn = _stored(partial(heat_layer_of, opened.job))
        return Response(drawn, content_type="image/png")


def _opened(job_id: str, parts: Room) -> Opened:
    """Open a job whose data are given out. A page that was opened before is the same act."""
    opened = parts.open(job_id)
    g.action, g.polled = VIEWED, True
    return opened


def _no_answer(opened: Opened) -> Response:
    """Raise the Problem that says why no answer is shown."""
    if opened.hidden:
        detail = "The model's answer is hidden until you commit a finding."
        raise Problem(Slug.ANSWER_HIDDEN, detail)
    raise Problem(Slug.NOT_READY, "There is no answer of the model to show.")


def _image(job: Job, parts: Room) -> bytes:
    return _stored(partial(parts.reads.read, job.id, partial(parts.ledger.image, job)))


def _stored(read: Callable[[], Made]) -> Made:
    try:
        return read()
    except NotStored as error:
        detail = "This picture is missing from the store. Tell the operator the id of the radiograph."
        raise Problem(Slug.OBJECT_MISSING, detail) from error
