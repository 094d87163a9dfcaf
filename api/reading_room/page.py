"""Answers with a page of the reading room, and sets the content policy of every answer below `/read`."""

import json
from typing import Any

from flask import Flask, Response, current_app, g, render_template, request

from api.http.problem import ProblemResponse

ROOM = "/read"


def room() -> str:
    """Return the path of the reading room, with the path prefix of the service."""
    return f"{current_app.config['PREFIX']}{ROOM}"


def embed() -> str:
    """Return the query of a page that another system shows in a frame, without navigation; else nothing."""
    return "?embed=1" if request.args.get("embed") == "1" else ""


def page(template: str, status: int = 200, **values: Any) -> Response:
    """Make the answer of a page.

    Every template is given `room`, `embed`, the reader who is signed in, if any, and the CSRF token of the
    session.
    """
    given = {"room": room(), "embed": embed(), "reader": g.get("reader"), "csrf": g.get("csrf"), **values}
    return Response(render_template(template, **given), status, content_type="text/html; charset=utf-8")


def wants_page() -> bool:
    """Return whether the request comes from the window of a browser, and not from a program or a script."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def answer_browsers(app: Flask, frame_ancestors: frozenset[str]) -> None:
    """Show problems below `/read` as pages, unless JSON is wanted, and set the content policy."""
    ancestors = " ".join(sorted(frame_ancestors)) or "'none'"
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        f"form-action 'self'; frame-ancestors {ancestors}; base-uri 'none'"
    )

    @app.after_request
    def answer(response: Response) -> Response:
        if request.path != ROOM and not request.path.startswith(f"{ROOM}/"):
            return response
        if isinstance(response, ProblemResponse) and wants_page():
            shown = page("error.html", problem=json.loads(response.get_data()))
            response.set_data(shown.get_data())
            response.content_type = shown.content_type
        response.headers["Content-Security-Policy"] = policy
        response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
        # With `no-referrer` a browser would send `Origin: null` with our own forms.
        response.headers["Referrer-Policy"] = "same-origin"
        if not frame_ancestors:
            response.headers["X-Frame-Options"] = "DENY"
        response.vary.update(("Accept", "Cookie"))
        return response
