"""Decides who may open a page of the reading room, and whether its forms come from its own pages."""

import re
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote

from flask import Request, current_app, g, redirect, request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.caller import CLIENT, READER
from api.identity.people import People
from api.identity.session import COOKIE
from api.reading_room.page import ROOM, room, wants_page
from api.routes.health import check_compatibility
from jobs.store.compatibility import Compatibility

MOST_FILES = 12
"""Most files of one form, whose other fields have parts as well. With script each file is sent by itself."""
_SAFE = ("GET", "HEAD", "OPTIONS")
_OWN_PAGE = re.compile(rf"{ROOM}(/[A-Za-z0-9_.~-]+)*/?(\?[A-Za-z0-9_.~=&%+-]*)?")

View = TypeVar("View", bound=Callable[..., Any])


def without_session(view: View) -> View:
    """Open a page to everyone. The decorator is below the one of the route."""
    view.__dict__["needs_no_session"] = True
    return view


def admit(people: People, compatibility: Compatibility) -> Response | None:
    """Let a request in whose cookie is that of a session, and whose form was sent by a page of that session.

    Sets `g.session`, `g.reader` and `g.csrf`. A browser without a session is sent to the page for signing in.
    Raises Problem: 401 for another request without a session, 403 for a form of another page.
    """
    if request.method not in _SAFE:
        _check_origin(people)
    if getattr(current_app.view_functions[request.endpoint or ""], "needs_no_session", False):
        return None
    check_compatibility(compatibility)
    session = people.sessions.of(request.cookies.get(COOKIE))
    if session is None:
        if request.method in _SAFE and wants_page():
            return redirect(sign_in_address(request), 303)
        raise no_session()
    g.session, g.reader, g.csrf = session, session.reader, people.csrf.token(session.id)
    request.environ |= {CLIENT: session.reader.client, READER: session.reader.id}
    if request.method not in _SAFE:
        check_token(people, session.id)
    return None


def no_session() -> Problem:
    """Return the problem of a request that needs a session and has none."""
    detail = f"No reader is signed in, or the session has ended. Sign in at {room()}/sign-in."
    return Problem(Slug.UNAUTHORIZED, detail)


def check_token(people: People, session_id: str) -> None:
    """Raise Problem 403 where the form, or the header X-CSRF-Token, has not the token of this session."""
    try:
        token = request.headers.get("X-CSRF-Token") or request.form.get("csrf", "")
    except RequestEntityTooLarge as error:
        most = current_app.config["MAX_CONTENT_LENGTH"]
        detail = (
            "These files are too many or too large together, and none was taken. Send at most"
            f" {MOST_FILES} files, and {most // 1_000_000} MB together, or one by one."
        )
        raise Problem(Slug.IMAGE_TOO_LARGE, detail, max_bytes=most) from error
    if not people.csrf.matches(session_id, token):
        raise _expired()


def sign_in_address(asked: Request) -> str:
    """Return the address of the page for signing in, which leads back to the page that was asked for."""
    query = asked.query_string.decode("ascii", "replace")
    back = f"{asked.path}?{query}" if query else asked.path
    return f"{room()}/sign-in?next={quote(back, safe='/')}"


def own_page(text: str | None) -> str:
    """Return the address of a page of the reading room that `next` names; else that of the worklist."""
    named = text or ""
    plain = _OWN_PAGE.fullmatch(named) and ".." not in named
    return f"{current_app.config['PREFIX']}{named}" if plain else room()


def _check_origin(people: People) -> None:
    if not people.csrf.is_own(request.headers.get("Origin"), request.host):
        raise _expired()


def _expired() -> Problem:
    detail = "This form does not come from a page of your present session. Open the page again, and send it."
    return Problem(Slug.FORM_EXPIRED, detail)
