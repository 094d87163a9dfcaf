"""Shows a radiograph with its reading at /read/<job id>, and the views of a study at /read/<study id>."""

from typing import Any

from flask import Blueprint, g, redirect, request
from werkzeug.wrappers import Response

from api.audited import VIEWED
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.reading_room import words
from api.reading_room.access import without_session
from api.reading_room.page import page, room
from api.reading_room.parts import Opened, Room
from api.reading_room.typed import Typed, draft_tag
from api.reading_room.viewer.calibration import scale_of
from api.readings.actions import disagreement_now
from jobs.reading.reading import Reading
from jobs.reading.states import Mode, ReadingState
from jobs.record.errors import NotStored
from jobs.record.ids import is_id
from jobs.record.job import now
from jobs.record.states import State

_SIDE_BY_SIDE = 2
"""Views of a study that are shown unless the reader chooses others."""


def add_viewer_pages(pages: Blueprint, parts: Room) -> None:
    """Add these pages to the reading room."""

    @pages.get("/<opened_id>")
    def viewer(opened_id: str) -> Response:
        if is_id("study", opened_id):
            return _study_page(opened_id, parts)
        return viewer_page(opened_id, parts, request.args.get("reading", ""))

    @pages.get("/display")
    @without_session
    def display() -> Response:
        return page("display.html")

    @pages.get("/<job_id>/<any(next,previous):way>")
    def neighbour(job_id: str, way: str) -> Response:
        # Found once it is asked for: a long worklist takes longer to read than a radiograph to open.
        found = _neighbour(job_id, 1 if way == "next" else -1, parts)
        return redirect(f"{room()}/{found}" if found else room(), 303)


def viewer_page(
    job_id: str,
    parts: Room,
    named: str = "",
    typed: Typed | None = None,
    problem: Problem | None = None,
    act: str = "",
) -> Response:
    """Show a radiograph and its reading, that of the id `named` if the job has several.

    `typed` stays in the form; the `problem` of an `act` says what is wrong with it.
    Raises Problem 404 for a job that the reader may not open.
    """
    opened = parts.open(job_id)
    g.action = VIEWED
    reading = opened.reading_of(g.reader, named)
    mine = reading is not None and reading.reader == g.reader.id
    working = mine and reading is not None and reading.state is ReadingState.CLAIMED
    writable = reading is not None and (working or bool(reading.reports))
    blind = reading is not None and reading.mode is Mode.BLIND and not reading.committed
    field = problem.extra.get("field", "form") if problem else ""
    answer = parts.answer(opened)
    form = typed or (Typed.of_reading(reading) if reading and mine and writable else None)
    return page(
        "viewer.html",
        problem.status if problem else 200,
        job=opened.job,
        view=_view(opened, parts, answer, sites=working),
        answer=answer,
        hidden=opened.hidden,
        reading=reading,
        differs=disagreement_now(reading, opened.job) if reading else None,
        mine=mine,
        working=working,
        blind=blind,
        form=form,
        measurements=form.shown_measurements(opened.job) if form else [],
        kept=typed is not None,
        tag=draft_tag(reading.draft) if reading else "",
        others=[_shown(one, opened) for one in opened.readings if one is not reading],
        # A blind form has no field for a code or a grade.
        fault=("form" if blind and field in ("code", "grade") else field, problem.detail if problem else ""),
        act=act,
        typed_reason=request.form.get("reason", "") if act == "amend" else "",
        at=now(),
        words=words,
    )


def _study_page(study_id: str, parts: Room) -> Response:
    try:
        study = parts.ledger.current(study_id)
    except NotStored:
        study = None
    # A view may have no reading of the reader's groups.
    opened = parts.opened(study.members if study and study.state is not State.ERASED else ())
    if not opened:
        raise Problem(Slug.NO_SUCH_STUDY, "There is no such study, or it is not yours to open.")
    return side_by_side(opened, (study and study.reference) or "Study", parts)


def side_by_side(opened: list[Opened], title: str, parts: Room) -> Response:
    """Show several radiographs side by side: the first two, unless the request chooses others."""
    g.action = VIEWED
    chosen = [
        int(text)
        for text in request.args.getlist("view")
        if text.isascii() and text.isdigit() and len(text) < 4
    ]
    chosen = [number for number in chosen if 1 <= number <= len(opened)]
    chosen = chosen or list(range(1, min(_SIDE_BY_SIDE, len(opened)) + 1))
    views = [
        _view(one := opened[number - 1], parts, parts.answer(one), f"View {number} of {len(opened)}", True)
        for number in chosen
    ]
    g.opened = [view["id"] for view in views]
    return page("study.html", title=title, opened=opened, chosen=chosen, views=views, words=words)


def _view(
    opened: Opened,
    parts: Room,
    answer: dict[str, Any] | None,
    title: str = "",
    lock: bool = False,
    sites: bool = False,
) -> dict[str, Any]:
    """Return what the template of the viewer needs."""
    job = opened.job
    address = f"{room()}/{job.id}"
    return {
        "id": job.id,
        "title": title or "Radiograph",
        "columns": job.image.width,
        "rows": job.image.height,
        "pixels": f"{address}/pixels",
        "preview": f"{address}/preview.jpg",
        "answer": f"{address}/answer",
        "heat": f"{address}/heat.png",
        "facts": words.facts_of(job),
        "scale": scale_of(job, g.reader, parts.ledger.records),
        "result": answer,
        "lock": lock,
        "sites": sites,
        "page": address,
    }


def _shown(reading: Reading, opened: Opened) -> dict[str, Any]:
    """Return what is shown of another reading of the job: while the answer is hidden, not what it found."""
    own = reading.reader == g.reader.id
    return {
        "reading": reading,
        "reports": reading.reports if own or not opened.hidden else (),
        "disagreement": None if opened.hidden else reading.disagreement,
    }


def _neighbour(job_id: str, step: int, parts: Room) -> str | None:
    """Return the id of the job that is so many steps behind this one in the reader's worklist.

    A job that is not in it, such as one that was just signed, comes before the first one.
    """
    ids = list(dict.fromkeys(reading.job for reading in parts.actions.worklist(g.reader)))
    place = (ids.index(job_id) if job_id in ids else -1) + step
    return ids[place] if 0 <= place < len(ids) else None
