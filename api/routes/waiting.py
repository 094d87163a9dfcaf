"""Waits for changes of a job: by `Prefer: wait=N` for one answer, or as a stream of server-sent events."""

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
"""Most seconds that one request waits."""
HEARTBEAT = 15.0
"""Seconds after which a stream of events sends a comment, and checks its key."""
_STILL_THERE = ": still there\n\n"


def preferred_wait(request: Request) -> int:
    """Return the seconds that the client would wait, by its Prefer; 0 for a header without a valid `wait`."""
    text = (parse_dict_header(request.headers.get("Prefer", "")).get("wait") or "").partition(";")[0].strip()
    return min(LONGEST, int(text)) if text.isascii() and text.isdigit() and len(text) < 9 else 0


def known_versions() -> set[str]:
    """Return the versions that the client has, by its If-None-Match."""
    return {etag.partition(".")[0] for etag in request.if_none_match.as_set(include_weak=True)}


def last_event_id() -> int:
    """Return the last version that the client has seen, by its Last-Event-ID; 0 for none."""
    last = request.headers.get("Last-Event-ID", "")
    return int(last) if last.isascii() and last.isdigit() and len(last) < 9 else 0


def with_etag(response: Response, version: int, seconds: int = 0) -> Response:
    """Add an ETag of this version to the answer, which is 304 for a client that has it.

    `seconds`: how long the client asked to wait; 0 for a request that did not wait.
    """
    # The hash is in it because the position in the queue changes without a new version; no wait ends for it.
    response.set_etag(f"{version}.{hashlib.sha256(response.data).hexdigest()[:16]}")
    if seconds:
        response.headers["Preference-Applied"] = f"wait={seconds}"
    response.make_conditional(request)
    return response


@dataclass(frozen=True)
class Snapshot:
    """One version of a job or study. `document` makes its JSON, for those versions only that are sent."""

    version: int
    document: Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Waiting:
    """The requests that wait in this process. While too many wait, the next one is answered at once."""

    ledger: Ledger
    changes: Changes
    public_url: str
    slots: Slots = field(default_factory=lambda: Slots(WAITING, WAITING_OF_ONE))

    def until(self, done: Callable[[Job], bool], job: Job, seconds: int) -> tuple[Job, bool]:
        """Wait until the job is `done`, for at most `seconds`. Of a study, its jobs are watched as well.

        Returns the job, and False if it could not wait because no slot was free.
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
        snapshot: Callable[[Job], Snapshot] | None = None,
    ) -> Response:
        """Stream the versions of a job, or its snapshots by `snapshot`, as server-sent events.

        The stream begins after the version `seen`. It ends when the job is settled, and when `key_holds`
        returns False. The answer is 204, after which a browser does not reconnect, if no version will come.
        Raises Problem 503 while too many requests wait.
        """
        snapshot = snapshot or self._snapshot
        if job.settled and snapshot(job).version <= seen:
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
        stream = self._stream(job, seen, key_holds, kind, snapshot)
        response = Response(stream, headers=headers, content_type="text/event-stream")
        response.call_on_close(partial(self.slots.give, job.client))
        return response

    def _snapshot(self, job: Job) -> Snapshot:
        return Snapshot(job.version, lambda: job_document(job, self.ledger, self.public_url))

    def _stream(
        self,
        job: Job,
        seen: int,
        key_holds: Callable[[], bool],
        kind: str,
        snapshot: Callable[[Job], Snapshot],
    ) -> Iterator[str]:
        # A store that does not answer ends the stream; the client reconnects with its last version.
        with suppress(NotStored, TransientError), self.changes.watched(job.id, *job.members) as changed:
            # Sent at once, so that the client gets the headers before the first change.
            yield _STILL_THERE
            while not self.changes.stopped.is_set() and key_holds():
                changed.clear()
                job = self.ledger.current(job.id)
                if job.state is State.ERASED:
                    return
                found = snapshot(job)
                if found.version > seen:
                    seen = found.version
                    yield f"id: {seen}\nevent: {kind}\ndata: {json.dumps(found.document())}\n\n"
                if job.settled:
                    return
                if not changed.wait(HEARTBEAT):
                    yield _STILL_THERE
