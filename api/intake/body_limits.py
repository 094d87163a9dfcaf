"""Decides, before a body is read, which client may send it and how large it may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, request

from api.http.problem import Problem
from api.identity.key import Key
from api.intake.submission import FORM_OVERHEAD
from api.openapi.describe import Operation, Size, operation_of
from api.openapi.json_body import MOST_BYTES
from jobs.record.errors import TransientError
from jobs.settings import Settings


@dataclass(frozen=True)
class Allowance:
    """What one request may send: its client, `most` bytes, and the size, by which it queues for a slot."""

    client: str
    most: int
    size: Size


@dataclass(frozen=True)
class BodyLimits:
    """The limits of bodies of an application. `check` returns the key of a request, or raises Problem."""

    app: Flask
    check: Callable[[Operation], Key]
    settings: Settings

    def __call__(self, environ: dict[str, Any]) -> Allowance | None:
        """Return what this request may send; None for a body that is not read."""
        with self.app.request_context(environ):
            operation = operation_of(self.app.view_functions.get(request.endpoint or ""))
            if operation is None or operation.body is None:
                return None
            try:
                key = self.check(operation)
            except (Problem, TransientError):
                return None  # The application raises it again, and answers the client.
            most = {
                Size.DOCUMENT: MOST_BYTES,
                Size.IMAGE: self.settings.max_bytes + FORM_OVERHEAD,
                Size.STUDY: self.settings.max_study_bytes,
            }
            return Allowance(key.client, most[operation.size], operation.size)
