"""Who may send a body, and how large: judged before any of it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Flask, g, request

from api.http.problem import Problem
from api.intake.submission import FORM_OVERHEAD
from api.openapi.describe import Size, operation_of
from api.openapi.json_body import MOST_BYTES
from jobs.record.errors import TransientError
from jobs.settings import Settings


@dataclass(frozen=True)
class Allowance:
    """What one request may send: as which client, up to how many bytes, and in which lines it then waits."""

    client: str
    most: int
    size: Size


@dataclass(frozen=True)
class BodyLimits:
    """The gate of an application; `authenticate` sets `g.client` or raises Problem."""

    app: Flask
    authenticate: Callable[[], None]
    settings: Settings

    def __call__(self, environ: dict[str, Any]) -> Allowance | None:
        """What this request may send; None where its body has no part in the answer, and stays unread."""
        with self.app.request_context(environ):
            operation = operation_of(self.app.view_functions.get(request.endpoint or ""))
            if operation is None or operation.body is None:
                return None
            try:
                self.authenticate()
            except (Problem, TransientError):
                return None  # The application says it once more, to the client.
            most = {
                Size.DOCUMENT: MOST_BYTES,
                Size.IMAGE: self.settings.max_bytes + FORM_OVERHEAD,
                Size.STUDY: self.settings.max_study_bytes,
            }
            return Allowance(g.client, most[operation.size], operation.size)
