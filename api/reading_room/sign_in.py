"""Serves /read/sign-in and /read/sign-out: a reader's key is exchanged for a cookie."""

import logging
import secrets

from flask import Blueprint, g, redirect, request
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.people import People
from api.identity.session import COOKIE
from api.intake.body_limits import takes_form
from api.reading_room.access import check_token, own_page, without_session
from api.reading_room.page import page, room
from api.routes.health import check_compatibility
from jobs.reading.reader import SESSION_LIFETIME, digest_of
from jobs.store.compatibility import Compatibility

log = logging.getLogger(__name__)

FORM_COOKIE = "osteo_sign_in"
"""A random text that the page for signing in gives a browser: its form has the CSRF token of this text."""
_FORM_SECONDS = 3600
_REFUSED = "This key opens nothing: it is mistyped, was replaced, or its reader was disabled."


def add_sign_in(pages: Blueprint, people: People, compatibility: Compatibility) -> None:
    """Add the pages for signing in and out to the reading room."""

    @pages.get("/sign-in")
    @without_session
    def sign_in_page() -> Response:
        if people.sessions.of(request.cookies.get(COOKIE)):
            return redirect(own_page(request.args.get("next")), 303)
        return form(request.args.get("next"))

    @pages.post("/sign-in")
    @without_session
    @takes_form(public=True)
    def sign_in() -> Response:
        check_compatibility(compatibility)
        check_token(people, _form_id(request.cookies.get(FORM_COOKIE, "")))
        key = request.form.get("key", "").strip()
        if seconds := people.attempts.refused_for(request.remote_addr or "", digest_of(key)):
            detail = f"There were too many attempts to sign in. Try again in {seconds} seconds."
            raise Problem(Slug.TOO_MANY_ATTEMPTS, detail, retry_after=seconds)
        reader = people.readers.of_key(key)
        if reader is None:
            g.action = "sign-in-refused"
            log.warning("sign-in refused")
            return form(request.form.get("next"), _REFUSED, 401)
        if before := people.sessions.of(request.cookies.get(COOKIE)):
            people.sessions.end(before)
        _, value = people.sessions.begin(reader)
        g.reader, g.action = reader, "sign-in"
        response = redirect(own_page(request.form.get("next")), 303)
        set_cookie(response, COOKIE, value, int(SESSION_LIFETIME.total_seconds()))
        response.delete_cookie(FORM_COOKIE, path=room())
        return response

    @pages.post("/sign-out")
    @takes_form()
    def sign_out() -> Response:
        people.sessions.end(g.session)
        g.action = "sign-out"
        response = redirect(f"{room()}/sign-in", 303)
        response.delete_cookie(COOKIE, path=room())
        return response

    def form(back: str | None, refusal: str | None = None, status: int = 200) -> Response:
        """Show the form, with a new text in its cookie and the token of this text."""
        text = secrets.token_urlsafe(24)
        g.csrf = people.csrf.token(_form_id(text))
        response = page("sign_in.html", status, next=back or "", refusal=refusal)
        set_cookie(response, FORM_COOKIE, text, _FORM_SECONDS)
        return response

    def set_cookie(response: Response, name: str, value: str, seconds: int) -> None:
        response.set_cookie(
            name, value, seconds, path=room(), secure=people.secure, httponly=True, samesite="Strict"
        )


def _form_id(text: str) -> str:
    # No session has an id with a colon, so the token of a session opens no form for signing in.
    return f"sign-in:{text}"
