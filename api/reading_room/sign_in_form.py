"""Shows the form for signing in, sets its cookies, limits attempts, and begins a session."""

import secrets

from flask import g, request
from werkzeug.wrappers import Response

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.people import People
from api.identity.session import COOKIE, Session
from api.reading_room.access import check_token
from api.reading_room.page import page, room
from jobs.reading.reader import SESSION_LIFETIME, Reader

FORM_COOKIE = "osteo_sign_in"
"""A random text that the page for signing in gives a browser: its form has the CSRF token of this text."""
_FORM_SECONDS = 3600


class SignInForm:
    """The form by which people sign in: by key, or with a link to the provider where there is one."""

    def __init__(self, people: People) -> None:
        self._people = people

    def show(self, back: str | None, refusal: str | None = None, status: int = 200) -> Response:
        """Show the form, with a new text in its cookie and the token of this text."""
        text = secrets.token_urlsafe(24)
        g.csrf = self._people.csrf.token(_form_id(text))
        by_provider = self._people.provider is not None
        response = page("sign_in.html", status, next=back or "", refusal=refusal, by_provider=by_provider)
        self.set_cookie(response, FORM_COOKIE, text, _FORM_SECONDS)
        return response

    def check(self) -> None:
        """Raise Problem 403 where the form that was sent is not that of this browser."""
        check_token(self._people, _form_id(request.cookies.get(FORM_COOKIE, "")))

    def count_attempt(self, digest: str) -> None:
        """Count an attempt with what has this hash. Raises Problem 429 where there were too many."""
        if seconds := self._people.attempts.refused_for(request.remote_addr or "", digest):
            detail = f"There were too many attempts to sign in. Try again in {seconds} seconds."
            raise Problem(Slug.TOO_MANY_ATTEMPTS, detail, retry_after=seconds)

    def begin_session(self, reader: Reader, response: Response) -> Session:
        """Begin a session, in place of the one that the browser has, and give the browser its cookie."""
        if before := self._people.sessions.of(request.cookies.get(COOKIE)):
            self._people.sessions.end(before)
        session, value = self._people.sessions.begin(reader)
        g.reader, g.action = reader, "sign-in"
        self.set_cookie(response, COOKIE, value, int(SESSION_LIFETIME.total_seconds()))
        response.delete_cookie(FORM_COOKIE, path=room())
        return session

    def set_cookie(
        self, response: Response, name: str, value: str, seconds: int, same_site: str = "Strict"
    ) -> None:
        """Set a cookie of the reading room, which no script reads."""
        response.set_cookie(
            name, value, seconds, path=room(), secure=self._people.secure, httponly=True, samesite=same_site
        )


def _form_id(text: str) -> str:
    # No session has an id with a colon, so the token of a session opens no form for signing in.
    return f"sign-in:{text}"
