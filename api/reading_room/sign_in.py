"""Serves /read/sign-in and /read/sign-out: a reader's key is exchanged for a cookie."""

import logging

from flask import Blueprint, g, redirect, request
from werkzeug.wrappers import Response

from api.identity.people import People
from api.identity.session import COOKIE
from api.intake.body_limits import takes_form
from api.reading_room.access import own_page, without_session
from api.reading_room.page import room
from api.reading_room.push import Push
from api.reading_room.sign_in_form import SignInForm
from api.routes.health import check_compatibility
from jobs.record.ids import digest_of
from jobs.store.compatibility import Compatibility

log = logging.getLogger(__name__)

_REFUSED = "This key opens nothing: it is mistyped, was replaced, or its reader was disabled."


def add_sign_in(pages: Blueprint, people: People, compatibility: Compatibility, push: Push) -> None:
    """Add the pages for signing in and out to the reading room. Signing out ends push in the browser, too."""
    form = SignInForm(people)

    @pages.get("/sign-in")
    @without_session
    def sign_in_page() -> Response:
        if people.sessions.of(request.cookies.get(COOKIE)):
            return redirect(own_page(request.args.get("next")), 303)
        return form.show(request.args.get("next"))

    @pages.post("/sign-in")
    @without_session
    @takes_form(public=True)
    def sign_in() -> Response:
        check_compatibility(compatibility)
        form.check()
        key = request.form.get("key", "").strip()
        form.count_attempt(digest_of(key))
        g.sign_in_method = "key"
        reader = people.readers.of_key(key)
        if reader is None:
            g.action = "sign-in-refused"
            log.warning("sign-in refused")
            return form.show(request.form.get("next"), _REFUSED, 401)
        response = redirect(own_page(request.form.get("next")), 303)
        form.begin_session(reader, response)
        return response

    @pages.post("/sign-out")
    @takes_form()
    def sign_out() -> Response:
        g.action = "sign-out"
        response = redirect(f"{room()}/sign-in", 303)
        push.end_here(g.reader.id, response)
        people.sessions.end(g.session)
        response.delete_cookie(COOKIE, path=room())
        return response
