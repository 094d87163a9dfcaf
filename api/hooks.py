"""What happens before and after every request: trace, authentication, headers and the audit log."""

import re

from flask import Flask, Response, g, request

from api.http.problem import RETRY_SECONDS, Problem
from api.http.problem_kinds import Slug
from api.identity.credentials import DICOMWEB, key_of
from api.identity.key_store import Keys
from api.identity.scopes import Scope
from api.intake.body_limits import BodyLimits
from api.openapi.describe import operation_of
from api.routes.health import agreed
from jobs.settings import Settings
from jobs.store.audit import Audit, AuditEntry
from jobs.store.compatibility import Compatibility
from jobs.trace import current, entered, trace_id

_OUR_ID = re.compile(r"[a-z]+_[0-9A-HJKMNP-TV-Z]{26}")
"""What we made up ourselves; a name that a client has given may be a patient's."""


def trace_requests(app: Flask) -> None:
    """Let the logs of each request bear its trace, the client's own or a new one."""

    @app.before_request
    def trace() -> None:
        g.traceparent = entered(request.headers.get("traceparent"))
        current.set(g.traceparent)

    @app.teardown_request
    def leave_trace(_: BaseException | None) -> None:
        current.set(None)  # the thread goes on to another request


def authenticate_requests(app: Flask, settings: Settings, keys: Keys, compatibility: Compatibility) -> None:
    """Refuse every request that needs an API key and has none, or one without the scope that it needs."""

    @app.before_request
    def authenticate() -> None:
        operation = operation_of(app.view_functions.get(request.endpoint or ""))
        if operation.public if operation else not request.path.startswith(("/v1/", DICOMWEB)):
            return
        agreed(compatibility)
        text = key_of(request)
        key = keys.holder_of(text) if text else None
        if text is None or key is None:
            detail = (
                "Send a valid API key as `Authorization: Bearer <api key>`; the operator makes one for you."
            )
            raise Problem(Slug.UNAUTHORIZED, detail)
        g.client, g.key = key.client, key
        g.key_holds = lambda: keys.holder_of(text) is not None
        needed = operation.needs(request.method) if operation else None
        if needed and needed not in key.scopes:
            detail = f"This needs a key with the scope `{needed}`. The operator makes one for you."
            raise Problem(Slug.INSUFFICIENT_SCOPE, detail, scope=needed)

    app.extensions["gate"] = BodyLimits(app, authenticate, settings)


def refuse_where_no_slot_came_free(app: Flask) -> None:
    """Answer 503 to a request for which the server found no free slot; nothing of its body was kept."""

    @app.before_request
    def refuse() -> None:
        if "api.too_busy" in request.environ:
            detail = "Too many submissions are being read at this moment. Send it again later."
            raise Problem(Slug.TOO_BUSY, detail, retry_after=RETRY_SECONDS)


def harden_answers(app: Flask) -> None:
    """Let no answer be cached or guessed at by a browser, unless its route says otherwise."""

    @app.after_request
    def harden(response: Response) -> Response:
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.update(g.get("headers", {}))
        return response


def audit_requests(app: Flask, audit: Audit) -> None:
    """Note every request by a key that was answered, or refused for its scope; not what came to nothing."""

    @app.after_request
    def note(response: Response) -> Response:
        operation = operation_of(app.view_functions.get(request.endpoint or ""))
        done = response.status_code < 300 or response.status_code == 403
        if operation and done and "key" in g:
            for subject in _subjects(response):
                entry = AuditEntry(
                    client=g.client,
                    key=g.key.id,
                    action=operation.id,
                    subject=subject,
                    status=response.status_code,
                    trace=trace_id(g.traceparent),
                    request=g.request_id,
                )
                # What erases or changes is rare, and worth its own write before it is answered.
                (audit.keep if operation.needs(request.method) is Scope.ADMIN else audit.note)(entry)
        return response


def _subjects(response: Response) -> list[str | None]:
    """What was acted on: what was made, each job of it, else what the path names; one None for nothing."""
    if "key_acted_on" in g:
        return [str(g.key_acted_on)]
    made = response.headers.get("Location", "").rpartition("/")[2]
    named = [made, *map(str, (request.view_args or {}).values())]
    first = next((text for text in named if _OUR_ID.fullmatch(text)), None)
    accepted = [job_id for job_id in g.get("accepted", ()) if job_id != first]
    return [*accepted, *([first] if first or not accepted else [])]
