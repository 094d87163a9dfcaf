"""Writes requests into the audit log: who did or read what, with ids of our own making and nothing else."""

import re
from collections.abc import Iterator
from http import HTTPStatus

from flask import Flask, Response, g, request

from api.identity.scopes import Scope
from api.openapi.describe import operation_of
from jobs.store.audit import Audit, AuditEntry
from jobs.store.recent import Recent
from jobs.trace import request_id_of_thread, trace_id

VIEWED = "viewed"
"""The action of a reader who opened a radiograph, or got its pixels or the model's answer."""
REPEATED_SECONDS = 3600.0
"""Time in which the same read by the same key or reader is written once by a process."""
_OUR_ID = re.compile(r"[a-z]+_[0-9A-HJKMNP-TV-Z]{26}")
"""An id that the service made. A client's own id may name a patient, and stays out of the audit log."""
_SAFE = ("GET", "HEAD")
_SAVED = "saveDraft"
"""A draft is saved every ten seconds: it is written as often as a read."""


def audit_requests(app: Flask, audit: Audit) -> None:
    """Write each request by a key into the audit log that succeeded or lacked a scope; no other.

    A page for people is written where it sets `g.action`; with `g.polled` as a read, which is written once in
    REPEATED_SECONDS and only where it gave something out or was forbidden. `g.acted_for` is the client whose
    job a reader acts on, if any; `g.opened` has the jobs that a page with several radiographs shows, and
    `g.answers_seen` has jobs whose answer the request showed besides.
    """
    written = Recent[bool](REPEATED_SECONDS)

    def is_new(entry: AuditEntry) -> bool:
        """Remember the entry. Return whether this process has written none like it within the time."""
        new = False

        def remember() -> bool:
            nonlocal new
            return (new := True)

        who = entry.reader or entry.key
        refused = entry.status == HTTPStatus.FORBIDDEN
        written.get(f"{who} {entry.client} {entry.action} {entry.subject} {refused}", remember)
        return new

    @app.after_request
    def write_audit_entries(response: Response) -> Response:
        operation = operation_of(app.view_functions.get(request.endpoint or ""))
        gave = response.status_code < 300 or response.status_code == HTTPStatus.FORBIDDEN
        own = operation.id if operation and gave and ("caller" in g or "reader" in g) else None
        action = own or g.get("action")
        read = g.get("polled", own is not None and request.method in _SAFE)
        if action and (gave or not read):
            durable = operation is not None and operation.needs(request.method) is Scope.ADMIN
            for entry in _entries(action, response):
                if not is_new(entry) and (read or action == _SAVED):
                    continue
                # Requests that erase or change are rare: each is written before it is answered.
                (audit.record_durably if durable else audit.record)(entry)
        return response


def _entries(action: str, response: Response) -> Iterator[AuditEntry]:
    caller, reader = g.get("caller"), g.get("reader")
    own = caller.client if caller else (reader and reader.client) or ""
    subjects = _subjects(response)
    acts = [(action, g.get("acted_for", own), subject) for subject in subjects]
    seen = [(VIEWED, job.client, job.id) for job in g.get("answers_seen", ()) if job.id not in subjects]
    for what, client, subject in acts + seen:
        yield AuditEntry(
            client=client,
            key=caller and caller.key.id,
            reader=reader and reader.id,
            action=what,
            subject=subject,
            status=response.status_code,
            trace=trace_id(g.traceparent),
            request=request_id_of_thread.get(),
            method=g.get("sign_in_method"),
        )


def _subjects(response: Response) -> list[str | None]:
    """List the ids of what a request acted on: what it made, each new or opened job, or what its path names.

    A request that names nothing gives one None.
    """
    if "key_acted_on" in g:
        return [str(g.key_acted_on)]
    # A page that leads elsewhere has made nothing.
    made = response.headers.get("Location", "").rpartition("/")[2] if response.status_code < 300 else ""
    named = [made, *map(str, (request.view_args or {}).values())]
    first = next((text for text in named if _OUR_ID.fullmatch(text)), None)
    several = [job_id for name in ("accepted", "opened") for job_id in g.get(name, ()) if job_id != first]
    return [*several, *([first] if first or not several else [])]
