"""Tells an open worklist that it has changed, by server-sent events without content."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from itertools import islice

from flask import Blueprint, Response, g, request

from api.http.problem import RETRY_SECONDS, Problem
from api.http.problem_kinds import Slug
from api.identity.session import COOKIE
from api.reading_room.parts import Room
from api.routes.waiting import HEARTBEAT
from jobs.reading.reader import Reader
from jobs.reading.readings import worklist_name
from jobs.record.errors import TransientError

_CHANGED = "event: changed\ndata: {}\n\n"
_STILL_THERE = ": still there\n\n"
_NEWEST = 50
"""The newest jobs of the reader's client whose end is told."""


def add_events(pages: Blueprint, parts: Room) -> None:
    """Add the stream of events of the worklist to the reading room."""

    @pages.get("/events")
    def events() -> Response:
        reader, cookie = g.reader, request.cookies.get(COOKIE)
        if not parts.pages_of_readers.take(reader.id):
            detail = "Too many pages are waiting for news. Load the worklist again to see what has changed."
            status = HTTPStatus.SERVICE_UNAVAILABLE
            raise Problem(Slug.TOO_MANY_WAITING, detail, status=status, retry_after=RETRY_SECONDS)
        stream = _stream(reader, lambda: parts.people.sessions.of(cookie) is not None, parts)
        response = Response(stream, headers={"X-Accel-Buffering": "no"}, content_type="text/event-stream")
        response.call_on_close(partial(parts.pages_of_readers.give, reader.id))
        return response


def _stream(reader: Reader, signed_in: Callable[[], bool], parts: Room) -> Iterator[str]:
    changes = parts.waiting.changes
    worklists = [worklist_name(group) for group in reader.groups]
    with suppress(TransientError):  # The browser connects again.
        while not changes.stopped.is_set() and signed_in():
            running = _running(reader, parts)
            with changes.watched(*worklists, *running) as changed:
                # What changed before it was watched is seen by this: the page reads the worklist anew.
                yield _CHANGED
                while not changes.stopped.is_set() and _running(reader, parts) <= running and signed_in():
                    happened = changed.wait(HEARTBEAT)
                    changed.clear()
                    yield _CHANGED if happened else _STILL_THERE


def _running(reader: Reader, parts: Room) -> set[str]:
    """Return the ids of the newest jobs of the reader's client that have not ended."""
    if reader.client is None:
        return set()
    newest = list(islice(parts.ledger.of_client(reader.client, None), _NEWEST))
    return {job.id for job in parts.ledger.current_many(newest) if not job.state.final}
