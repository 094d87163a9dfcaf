"""Waiting for a job to change: by `Prefer: wait=N` for one answer, or as a stream of server-sent events."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

from flask import Request, Response, request
from werkzeug.http import parse_dict_header

from api.http.problem import RETRY_SECONDS, Problem
from api.http.problem_kinds import Slug
from api.http.slots import Slots
from api.http.threads import WAITING, WAITING_OF_ONE
from api.routes.job_answers import job_document
from jobs.record.errors import NotStored, TransientError
from jobs.record.job import Job
from jobs.record.states import State
from jobs.redis.changes import Changes
from jobs.store.ledger import Ledger

LONGEST = 30
"""Seconds that one request waits at most."""
HEARTBEAT = 15.0
"""Seconds after which a stream of events says that it is still there, and looks whether its key is."""
_STILL_THERE = ": still there\n\n"


def preferred_wait(request: Request) -> int:
    """For how many seconds the client would wait; 0 where it does not say so in a way that is known."""
    text = (parse_dict_header(request.headers.get("Prefer", "")).get("wait") or "").partition(";")[0].strip()
    return min(LONGEST, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def remembered() -> set[str]:
    """The versions that the client has, by its If-None-Match."""
    return {etag.partition(".")[0] for etag in request.if_none_match.as_set(include_weak=True)}


def last_event() -> int:
    """The version that the client has seen last, by its Last-Event-ID."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 9 else 0


def tagged(response: Response, version: int, seconds: int = 0) -> Response:
    """The answer with an ETag of this version, 304 where the client has it; after a wait of `seconds`."""
    # The place in the queue changes between two versions, and no wait ends for it.
    response.set_etag(f"{version}.{hashlib.sha256(response.data).hexdigest()[:16]}")
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    response.make_conditional(request)
    return response


@dataclass(frozen=True)
class Told:
    """What the events of a job or study tell of one version of it; `document` is made where it is told."""

    version: int
    document: Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Waiting:
    """The requests that wait in this process. Where too many do, the next one is answered at once."""

    ledger: Ledger
    changes: Changes
    public_url: str
    slots: Slots = field(default_factory=lambda: Slots(WAITING, WAITING_OF_ONE))

    def until(self, done: Callable[[Job], bool], job: Job, seconds: int) -> tuple[Job, bool]:
        """The job once it is `done`, or after so many seconds; False where there was no slot to wait in.

        Of a study, changes of its jobs are looked at, too.
        """
        if done(job):
            return job, True
        if not self.slots.take(job.client):
            return job, False
        ends = time.monotonic() + seconds
        try:
            with self.changes.watched(job.id, *job.members) as changed:
                while True:
                    changed.clear()
                    job, left = self.ledger.current(job.id), ends - time.monotonic()
                    if done(job) or left <= 0 or self.changes.stopped.is_set():
                        return job, True
                    changed.wait(left)
        finally:
            self.slots.give(job.client)

    def events(
        self,
        job: Job,
        seen: int,
        key_holds: Callable[[], bool],
        kind: str = "job",
        tell: Callable[[Job], Told] | None = None,
    ) -> Response:
        """The versions of a job, or of what `tell` makes of it, as they come, as server-sent events.

        They begin behind the version `seen`, and end once it is settled, and once the key that asked for it
        does not hold any more. 204 where none will come, which tells a browser not to ask again.
        Raises Problem 503.
        """
        tell = tell or self._job
        if job.settled and tell(job).version <= seen:
            return Response(status=204)
        if not self.slots.take(job.client):
            detail = "Too many requests are waiting. Ask for the job itself, or come again later."
            raise Problem(
                Slug.TOO_MANY_WAITING,
                detail,
                status=HTTPStatus.SERVICE_UNAVAILABLE,
                retry_after=RETRY_SECONDS,
            )
        headers = {"X-Accel-Buffering": "no"}
        stream = self._stream(job, seen, key_holds, kind, tell)
        response = Response(stream, headers=headers, content_type="text/event-stream")
        response.call_on_close(partial(self.slots.give, job.client))
        return response

    def _job(self, job: Job) -> Told:
        return Told(job.version, lambda: job_document(job, self.ledger, self.public_url))

    def _stream(
        self, job: Job, seen: int, key_holds: Callable[[], bool], kind: str, tell: Callable[[Job], Told]
    ) -> Iterator[str]:
        # A store that is away ends the stream; the client comes again with what it saw last.
        with suppress(NotStored, TransientError), self.changes.watched(job.id, *job.members) as changed:
            # At once, or the client would not even see the headers before something happens.
            yield _STILL_THERE
            while not self.changes.stopped.is_set() and key_holds():
                changed.clear()
                job = self.ledger.current(job.id)
                if job.state is State.ERASED:
                    return
                told = tell(job)
                if told.version > seen:
                    seen = told.version
                    yield f"id: {seen}\nevent: {kind}\ndata: {json.dumps(told.document())}\n\n"
                if job.settled:
                    return
                if not changed.wait(HEARTBEAT):
                    yield _STILL_THERE
