"""Registers what runs before and after every request: ids, traces, authentication, headers."""

import re
import secrets
import time

from flask import Flask, Response, g, request

from api.http import request_metrics
from api.http.problem import RETRY_SECONDS, Problem, ProblemResponse
from api.http.problem_kinds import Slug
from api.identity.caller import CLIENT, KEY, READER, Caller
from api.identity.credentials import DICOMWEB, key_of
from api.identity.key import Key
from api.identity.key_store import Keys
from api.identity.people import People
from api.identity.session import COOKIE
from api.intake.body_limits import BodyLimits, Form
from api.openapi.describe import Operation, operation_of
from api.reading_room.access import no_session
from api.routes.health import check_compatibility
from jobs.reading.reader import Reader
from jobs.settings import Settings
from jobs.spans import begin_span
from jobs.store.compatibility import Compatibility
from jobs.trace import continue_trace, request_id_of_thread, trace_of_thread

_REQUEST_ID_HEADER = "X-Request-ID"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}")
"""The form of a client's own request id: no other text goes into logs."""

_TRACED = frozenset({"POST", "PUT", "PATCH", "DELETE"})


def measure_requests(app: Flask) -> None:
    """Count and measure each request, once.

    Registered before every other hook: Flask calls `count` after the others, and not where one of them fails.
    """
    request_metrics.begin()

    @app.before_request
    def begin() -> None:
        g.began = time.monotonic()

    @app.after_request
    def count(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else None
        seconds = time.monotonic() - g.began
        request_metrics.count_request(route, request.method, response.status_code, seconds)
        if isinstance(response, ProblemResponse):
            request_metrics.count_refusal(response.slug)
        return response


def identify_requests(app: Flask) -> None:
    """Give each request its id, the client's own or a new one.

    Registered before every hook that may answer.
    """

    @app.before_request
    def identify() -> None:
        given = request.headers.get(_REQUEST_ID_HEADER, "")
        request_id_of_thread.set(given if _REQUEST_ID.fullmatch(given) else f"req_{secrets.token_hex(16)}")

    @app.after_request
    def add_request_id(response: Response) -> Response:
        response.headers[_REQUEST_ID_HEADER] = request_id_of_thread.get() or ""
        return response

    @app.teardown_request
    def forget_request_id(_: BaseException | None) -> None:
        request_id_of_thread.set(None)  # The thread continues with another request.


def trace_requests(app: Flask) -> None:
    """Add the trace of each request, the client's own or a new one, to its log records.

    A request that may change something is a span of the trace. Its attributes name the route and no path,
    which may have an id of the client's own.
    """

    @app.before_request
    def trace() -> None:
        given = request.headers.get("traceparent")
        if request.method in _TRACED:
            route = request.url_rule.rule if request.url_rule else None
            attributes = {"http.request.method": request.method, **({"http.route": route} if route else {})}
            name = " ".join(filter(None, (request.method, route)))
            g.span = begin_span(name, "server", given, attributes=attributes)
            g.traceparent = g.span.traceparent
        else:
            g.traceparent = continue_trace(given)
        trace_of_thread.set(g.traceparent)

    @app.after_request
    def describe_answer(response: Response) -> Response:
        if "span" in g:
            g.span.set({"http.response.status_code": response.status_code})
            if response.status_code >= 500:
                g.span.fail(str(response.status_code))
        return response

    @app.teardown_request
    def leave_trace(_: BaseException | None) -> None:
        trace_of_thread.set(None)  # The thread continues with another request.
        if "span" in g:
            g.span.end()


def authenticate_requests(
    app: Flask, settings: Settings, keys: Keys, people: People, compatibility: Compatibility
) -> None:
    """Refuse a request without a valid key (401), or whose key has not the needed scope (403).

    The key of a reader opens only the routes that are described with `readers`. Pages for people are left to
    the reading room.
    """

    def read_key(operation: Operation | None) -> tuple[Key | Reader, str]:
        check_compatibility(compatibility)
        text = key_of(request) or ""
        holder: Key | Reader | None = keys.holder_of(text)
        if holder is None and operation and operation.readers:
            holder = people.readers.of_key(text)
        if holder is None:
            detail = (
                "Send a valid API key as `Authorization: Bearer <api key>`; the operator makes one for you."
            )
            raise Problem(Slug.UNAUTHORIZED, detail)
        return holder, text

    @app.before_request
    def authenticate() -> None:
        operation = operation_of(app.view_functions.get(request.endpoint or ""))
        if operation.public if operation else not request.path.startswith(("/v1/", DICOMWEB)):
            return
        holder, text = read_key(operation)
        if isinstance(holder, Key):
            g.caller = Caller(holder.client, holder, g.traceparent)
            request.environ |= {CLIENT: holder.client, KEY: holder.id}
            g.key_holds = lambda: keys.holder_of(text) is not None
            if operation:
                _check_scope(operation, holder)
        else:
            g.reader = holder
            request.environ |= {CLIENT: holder.client, READER: holder.id}
            g.key_holds = lambda: people.readers.of_key(text) is not None

    def check_permission(taken: Operation | Form) -> str:
        if isinstance(taken, Operation):
            holder, _ = read_key(taken)
            if isinstance(holder, Reader):
                return holder.id
            _check_scope(taken, holder)
            return holder.client
        if taken.public:
            return request.remote_addr or ""
        check_compatibility(compatibility)
        if session := people.sessions.of(request.cookies.get(COOKIE)):
            return session.reader.id
        raise no_session()

    app.extensions["body_limits"] = BodyLimits(app, check_permission, settings)


def _check_scope(operation: Operation, key: Key) -> None:
    needed = operation.needs(request.method)
    if needed and needed not in key.scopes:
        detail = f"This needs a key with the scope `{needed}`. The operator makes one for you."
        raise Problem(Slug.INSUFFICIENT_SCOPE, detail, scope=needed)


def refuse_without_slot(app: Flask) -> None:
    """Answer a request whose body the server dropped: it found no free slot (503), or might not take it."""

    @app.before_request
    def refuse() -> None:
        if "api.too_busy" in request.environ:
            detail = "Too many submissions are being read at this moment. Send it again later."
            raise Problem(Slug.TOO_BUSY, detail, retry_after=RETRY_SECONDS)
        if "api.refused" in request.environ:
            raise request.environ["api.refused"]


def harden_answers(app: Flask) -> None:
    """Forbid browsers to cache answers, unless the route allows it, and to guess their types."""

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        for name, value in g.get("headers", {}).items():
            response.headers.setdefault(name, value)
        return response
