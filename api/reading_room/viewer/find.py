"""Leads a link of another system to the viewer: by the client's own id, or by the Study Instance UID.

What is not there and what the reader may not open get the same answer.
"""

from flask import Blueprint, g, redirect, request
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.key_store import CLIENT
from api.intake.idempotency import id_of
from api.reading_room.page import embed, room
from api.reading_room.parts import Room
from api.reading_room.viewer.pages import side_by_side
from jobs.record.study import MOST_IMAGES


def add_find(pages: Blueprint, parts: Room) -> None:
    """Add these links to the reading room."""

    @pages.get("/find")
    def find() -> Response:
        """Open what `id`, or `study`, names of the radiographs of `client`: the reader's own by default."""
        client = request.args.get("client") or g.reader.client
        own_id, uid = request.args.get("id"), request.args.get("study")
        if client is None or not CLIENT.fullmatch(client):
            raise _nothing()
        if own_id:
            found = [id_of(own_id, client, parts.ledger) or ""]
        else:
            found = parts.ledger.of_study_uid(client, uid, MOST_IMAGES) if uid else []
        opened = [one for one in parts.opened(found) if one.job.client == client]
        if not opened:
            raise _nothing()
        if len(opened) > 1:
            return side_by_side(opened, "Views of one study", parts)
        return redirect(f"{room()}/{opened[0].job.id}{embed()}", 303)


def _nothing() -> Problem:
    return Problem(Slug.NO_SUCH_JOB, "There is no such radiograph, or it is not yours to open.")
