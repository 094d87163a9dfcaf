"""Verifies the service's callbacks in one call, under any framework.

`verify` needs no framework. The other functions take body and headers from their framework, answer a forged
callback in its way, and import it when called.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from standardwebhooks import Webhook, WebhookVerificationError

from osteo_client.errors import CallbackRejected
from osteo_client.job import Job
from osteo_client.reading import ReadingNotice

if TYPE_CHECKING:
    from django.http import HttpRequest
    from fastapi import Request


@dataclass(frozen=True)
class Event:
    """What a callback says, once its signature has been found to be the service's."""

    id: str
    """The same each time that this callback is repeated: do not act on it twice."""
    type: str
    """`job.succeeded`, `reading.signed` and so on; `webhook.test` for a test event."""
    timestamp: datetime
    job: Job | None
    """None in the event of a reading, in a test event, and in that of a study, which is in `document`."""
    document: dict[str, Any] = field(repr=False)
    """The service's whole document."""
    reading: ReadingNotice | None = None
    """Where a reading stands, in its events; None in all others."""


def verify(secret: str, body: bytes, headers: Mapping[str, str]) -> Event:
    """Return the event of a callback. `body` is what was received, byte for byte. Raises CallbackRejected."""
    given = {name.lower(): value for name, value in headers.items()}
    try:
        document = Webhook(secret).verify(body, given)
    except (WebhookVerificationError, ValueError) as error:
        raise CallbackRejected(
            f"{error}: this was not signed with this secret in the last five minutes, or its body was changed"
        ) from error
    return Event(
        id=given["webhook-id"],
        type=document["type"],
        # A CloudEvent, as that of targets, names it `time`.
        timestamp=datetime.fromisoformat(document.get("timestamp") or document["time"]),
        job=Job.read(document["data"]) if document["type"].startswith("job.") else None,
        reading=ReadingNotice.read(document["data"]) if document["type"].startswith("reading.") else None,
        document=document,
    )


def from_flask(secret: str) -> Event:
    """Return the event in the request that Flask is handling. A forged one is answered 401."""
    from flask import abort, request

    try:
        return verify(secret, request.get_data(), dict(request.headers))
    except CallbackRejected as error:
        abort(401, str(error))


async def from_fastapi(secret: str, request: "Request") -> Event:
    """Return the event in a request to FastAPI. A forged one is answered 401."""
    from fastapi import HTTPException

    try:
        return verify(secret, await request.body(), request.headers)
    except CallbackRejected as error:
        raise HTTPException(401, str(error)) from error


def from_django(secret: str, request: "HttpRequest") -> Event:
    """Return the event in a request to Django, whose view needs `@csrf_exempt`; 403 for a forged one."""
    from django.core.exceptions import PermissionDenied

    try:
        return verify(secret, request.body, request.headers)
    except CallbackRejected as error:
        raise PermissionDenied(str(error)) from error
