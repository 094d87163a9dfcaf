"""Shows the worklist at /read: what is to be read, what the reader signed, and the client's radiographs."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, request

from api.reading_room import words
from api.reading_room.page import page
from api.reading_room.parts import Room
from api.routes.job_list import page_of, wanted_jobs
from jobs.reading.reading import Reading
from jobs.reading.states import Wish
from jobs.record.job import Job, now
from jobs.record.states import Priority, State

_FILTERS = ("state", "priority", "mine")
_STATES = {"requested": "waits", "claimed": "is being read", "overdue": "overdue"}
_SIGNED = 10
"""Readings that the reader signed last, which are shown."""
HIDDEN = "hidden until you commit"


@dataclass(frozen=True)
class Row:
    """A line of the worklist."""

    reading: Reading
    job: Job
    due: str
    overdue: bool
    hidden: bool
    answer: str


def add_worklist(pages: Blueprint, parts: Room) -> None:
    """Add the worklist to the reading room."""

    @pages.get("")
    def worklist() -> Response:
        return worklist_page(parts)


def worklist_page(parts: Room, status: int = 200, faults: list[tuple[str, str]] | None = None) -> Response:
    """Show the worklist, with what is wrong with files that were uploaded without script."""
    # It shows references and questions of many jobs; a page that is open reads it again after each change.
    if "action" not in g:
        g.action, g.polled = "listReadings", True
    chosen = {name: request.args.get(name, "") for name in _FILTERS}
    found = parts.actions.worklist(g.reader)
    rows = [row for row in _rows(found, parts) if _fits(row, chosen)]
    signed = parts.actions.signed_by(g.reader, _SIGNED)
    return page(
        "worklist.html",
        status,
        rows=rows,
        waiting=len(found),
        chosen=chosen,
        filtered=any(chosen.values()),
        states=_STATES,
        priorities=list(Priority),
        signed=[(reading, job) for reading, job in _with_jobs(signed, parts)],
        radiographs=_radiographs(parts, found) if g.reader.client else None,
        wishes=_WISHES,
        faults=faults or [],
        words=words,
    )


_WISHES = {
    "": "as agreed for this client",
    Wish.NONE: "by no one",
    Wish.REQUESTED: "at once",
    Wish.IF_INDETERMINATE: "if the model is not sure",
    Wish.IF_POSITIVE: "if the model finds something or is not sure",
}
"""When a person is to read an uploaded radiograph."""


def _rows(found: list[Reading], parts: Room) -> list[Row]:
    at = now()
    blind = {one.job for one in found if one.hides_answer_from(g.reader.id, g.reader.groups)}

    def hidden(job: Job) -> bool:
        # Another view of the study, or what the worklist does not show, may have a blind reading.
        return job.id in blind or parts.actions.answer_hidden(job.id, g.reader)

    return [
        Row(
            reading,
            job,
            words.due(reading.due_at, at),
            reading.overdue(at),
            hides := hidden(job),
            HIDDEN if hides else _answer(job, parts),
        )
        for reading, job in _with_jobs(found, parts)
    ]


def _answer(job: Job, parts: Room) -> str:
    if job.result is None:
        return words.JOB_STATES[job.state]
    parts.note_seen(job)
    return words.model_says(job.result)


def _fits(row: Row, chosen: dict[str, str]) -> bool:
    state, reading = chosen["state"], row.reading
    return (
        (not state or (row.overdue if state == "overdue" else reading.state == state))
        and chosen["priority"] in ("", reading.priority)
        and (not chosen["mine"] or reading.reader == g.reader.id)
    )


def _with_jobs(readings: list[Reading], parts: Room) -> list[tuple[Reading, Job]]:
    ids = list(dict.fromkeys(reading.job for reading in readings))
    # A reading outlives its deleted job by a moment.
    jobs = {job.id: job for job in parts.ledger.current_many(ids) if job.state is not State.ERASED}
    return [(reading, jobs[reading.job]) for reading in readings if reading.job in jobs]


def _radiographs(parts: Room, found: list[Reading]) -> dict[str, Any]:
    """Return one page of the client's radiographs. A reader of a group sees no answer in this list.

    So the list takes no blindness away: opening a radiograph does, and is written down.
    """
    cursor = request.args.get("cursor")
    jobs, more = page_of(g.reader.client, wanted_jobs({"cursor": cursor} if cursor else {}), parts.ledger)
    return {
        "jobs": [
            (job, words.model_says(job.result) if job.result and not g.reader.groups else _outcome(job))
            for job in jobs
        ],
        "more": more,
        "first": cursor is None,
        "training": parts.actions.policies.of(g.reader.client).training,
        "at": now(),
    }


def _outcome(job: Job) -> str:
    return "open to see" if job.result else "none" if job.state.final else "not yet"
