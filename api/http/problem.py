"""Answers every error with an RFC 9457 problem document, whose stable type says what to do."""

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypedDict

from flask import Flask, Response, current_app
from gunicorn.http.errors import NoMoreData, ParseException
from werkzeug.exceptions import HTTPException

from api.http.problem_kinds import KINDS, Slug
from jobs.record.errors import QueueBusy, TransientError
from jobs.trace import request_id_of_thread

log = logging.getLogger(__name__)

RETRY_SECONDS = 5


_OF_STATUS = {
    404: Slug.NOT_FOUND,
    405: Slug.METHOD_NOT_ALLOWED,
    413: Slug.REQUEST_ENTITY_TOO_LARGE,
}
"""The types of the errors that Flask raises itself."""
_DETAIL = {
    404: "There is no such address. /docs shows all that there are.",
    405: "This address does not take this method; the header Allow names those that it takes.",
}


def problem_type(name: str) -> str:
    """Return the path of this type's page, with the path prefix of the service."""
    return f"{current_app.config['PREFIX']}/problems/{name}"


class ProblemDocument(TypedDict):
    """What is wrong and what to do, by RFC 9457; some types have further members."""

    type: Annotated[str, {"format": "uri-reference"}, "Its page says more."]
    title: str
    status: int
    detail: Annotated[str, "What is wrong and what to do."]
    request_id: Annotated[str, "Of this request, as in X-Request-ID: the operator finds it in the log."]


class ProblemResponse(Response):
    """The answer that a problem is."""

    slug: Slug


class Problem(Exception):
    """An answer that is an error: the `slug` of its type, and a `detail` for the developer.

    `status` is given only where it is not the one of the type. `headers` are headers of the answer, `extra`
    further members of the document.
    """

    def __init__(
        self,
        slug: Slug,
        detail: str,
        *,
        status: int | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.status = status or KINDS[slug].status
        self.detail = detail
        self.retry_after = retry_after
        self.headers = dict(headers or {})
        self.extra = extra

    def response(self) -> Response:
        """Make the answer: the problem document."""
        body = {
            "type": problem_type(self.slug),
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "request_id": request_id_of_thread.get(),
            **self.extra,
        }
        response = ProblemResponse(json.dumps(body), self.status, content_type="application/problem+json")
        response.slug = self.slug
        response.headers.update(self.headers)
        if self.retry_after is not None:
            response.headers["Retry-After"] = str(self.retry_after)
        if self.status == HTTPStatus.UNAUTHORIZED:
            response.headers["WWW-Authenticate"] = "Bearer"
        if self.slug == Slug.INSUFFICIENT_SCOPE:
            needed = self.extra["scope"]
            response.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{needed}"'
        return response


def answer_problems(app: Flask) -> None:
    """Let the application answer every exception with a problem document."""

    @app.errorhandler(Problem)
    def _problem(problem: Problem) -> Response:
        return problem.response()

    @app.errorhandler(TransientError)
    def _unavailable(error: TransientError) -> Response:
        log.error("a part is down: %s", error)
        detail = (
            "The service cannot store or read jobs at the moment. Nothing was accepted; send it again later."
        )
        return Problem(Slug.PART_DOWN, detail, retry_after=RETRY_SECONDS).response()

    @app.errorhandler(QueueBusy)
    def _busy(error: QueueBusy) -> Response:
        log.warning("too busy: %s", error)
        detail = "The service does as much as it can now. Nothing was accepted; send it again later."
        return Problem(Slug.TOO_BUSY, detail, retry_after=RETRY_SECONDS).response()

    @app.errorhandler(HTTPException)
    def _http(error: HTTPException) -> Response:
        status = HTTPStatus(error.code or 500)
        slug = _OF_STATUS.get(status, Slug.BAD_REQUEST if status < 500 else Slug.INTERNAL_ERROR)
        detail = _DETAIL.get(status) or error.description or status.description
        response = Problem(slug, detail, status=status).response()
        for name, value in error.get_headers():
            if name in ("Allow", "Content-Range"):
                response.headers[name] = value
        return response

    @app.errorhandler(NoMoreData)
    @app.errorhandler(ParseException)
    def _unreadable(_: Exception) -> Response:
        detail = "The body ends early, or its chunks have no size that can be read. Send it again, whole."
        return Problem(Slug.BAD_REQUEST, detail).response()

    @app.errorhandler(Exception)
    def _unexpected(error: Exception) -> Response:
        log.exception("a request broke", exc_info=error)
        detail = "The service made a mistake. It has been logged; if it stays, tell the operator."
        return Problem(Slug.INTERNAL_ERROR, detail).response()
