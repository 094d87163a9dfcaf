"""Decides, before a body is read, who may send it and how large it may be."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from flask import Flask, request

from api.http.problem import Problem
from api.intake.submission import FORM_OVERHEAD
from api.openapi.describe import Operation, Size, operation_of
from api.openapi.json_body import MOST_BYTES
from jobs.record.errors import TransientError
from jobs.settings import Settings

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True)
class Form:
    """What a page that is not described in the API takes. Only a `public` one takes it without a session."""

    size: Size
    public: bool


def takes_form(size: Size = Size.DOCUMENT, public: bool = False) -> Callable[[View], View]:
    """Let a page of the reading room take a body of at most this size. No other page's body is read."""

    def keep(view: View) -> View:
        view.__dict__["form"] = Form(size, public)
        return view

    return keep


@dataclass(frozen=True)
class Allowance:
    """What one request may send: its client, `most` bytes, and the size, by which it queues for a slot."""

    client: str
    most: int
    size: Size


@dataclass(frozen=True)
class BodyLimits:
    """The limits of bodies of an application. `check` returns who sends a request, or raises Problem."""

    app: Flask
    check: Callable[[Operation | Form], str]
    settings: Settings

    def __call__(self, environ: dict[str, Any]) -> Allowance | Problem | TransientError | None:
        """Return what this request may send; None for a body that no route reads, or why it may send none."""
        with self.app.request_context(environ):
            view = self.app.view_functions.get(request.endpoint or "")
            operation = operation_of(view)
            taken: Operation | Form | None = getattr(view, "form", None)
            if operation and operation.body is not None:
                taken = operation
            if taken is None:
                return None
            try:
                client = self.check(taken)
            except (Problem, TransientError) as error:
                return error
            except Exception:
                log.exception("who sends a request cannot be told; its body is not read")
                return None
            most = {
                Size.DOCUMENT: MOST_BYTES,
                Size.IMAGE: self.settings.max_bytes + FORM_OVERHEAD,
                Size.STUDY: self.settings.max_study_bytes,
            }
            return Allowance(client, most[taken.size], taken.size)
