"""Who did what: noted after each request. `python -m admin.audit --client NAME --since TIME` tells it."""

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import takewhile
from typing import Any

from flask import Flask, Response, g, request

from admin.command import settings_of_command, tell
from api.identity.scopes import Scope
from api.openapi.describe import operation_of
from jobs.record.errors import NotStored, QueueUnavailable, TransientError
from jobs.record.ids import made_at
from jobs.record.job import moment_text
from jobs.redis.view import View
from jobs.settings import SettingsError
from jobs.store.audit import Audit, Entry
from jobs.store.ledger import Ledger
from jobs.store.objects import Objects
from jobs.store.start import marks_of
from jobs.trace import trace_id

_OUR_ID = re.compile(r"[a-z]+_[0-9A-HJKMNP-TV-Z]{26}")
"""What we made up ourselves; a name that a client has given may be a patient's."""
_SUBMITTED = "submitJob"
_SUBMITTING = {_SUBMITTED, "submitJobAs", "submitStudy", "storeInstances", "storeInstancesOfStudy"}


def audit_requests(app: Flask, audit: Audit) -> None:
    """Note every request by a key that was answered, or refused for its scope; not what came to nothing."""

    @app.after_request
    def note(response: Response) -> Response:
        operation = operation_of(app.view_functions.get(request.endpoint or ""))
        done = response.status_code < 300 or response.status_code == 403
        if operation and done and "key" in g:
            for subject in _subjects(response):
                entry = Entry(
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


def acts_of(audit: Audit, ledger: Ledger, client: str, since: datetime) -> Iterator[dict[str, Any]]:
    """What a client did since then, oldest first, with every job that the ledger has and the log has not.

    Raises StoreUnavailable.
    """
    known: set[str] = set()
    for entry in audit.entries(since):
        if entry["client"] == client:
            if entry["action"] in _SUBMITTING:
                known.add(entry["subject"])
            yield entry
    newer = takewhile(lambda job_id: made_at(job_id) >= since, ledger.of_client(client, None))
    for job_id in reversed([job_id for job_id in newer if job_id not in known]):
        with suppress(NotStored):
            job = ledger.read(job_id)
            at = moment_text(job.created_at)
            yield {"client": client, "action": _SUBMITTED, "key": job.key, "subject": job_id, "at": at}


def main() -> int:
    """Print the acts of one client; 2 for a wrong setting or time, or where the object store is away."""
    parser = argparse.ArgumentParser(prog="python -m admin.audit", description=__doc__)
    parser.add_argument("--client", required=True)
    parser.add_argument("--since", required=True, type=_moment, help="ISO 8601, in UTC unless it has a zone")
    arguments = parser.parse_args()
    try:
        settings = settings_of_command()
        marks_of(settings).compare()
        audit = Audit.connect(settings)
        view = View.connect(settings.redis_url, settings.view_seconds)
        ledger = Ledger(Objects.connect(settings.s3_endpoint_url, settings.s3_bucket), view)
        with suppress(QueueUnavailable):  # Then nothing is noted there either.
            audit.carry_over()
        tell(acts_of(audit, ledger, arguments.client, arguments.since))
    except (SettingsError, TransientError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
