"""Describes each route next to its code. api.openapi.document makes the OpenAPI document of it.

@routes.get("/<job_id>/result")
@describe("getResult", "The result alone", {200: Answer("The result.", Result)}, (Slug.NOT_READY,))
def result(job_id: str) -> Response: ...
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from api.http.problem_kinds import Slug
from api.identity.scopes import Scope, scope_of

View = TypeVar("View", bound=Callable[..., Any])


class Size(Enum):
    """How large the body of a request may be. api.intake.body_limits names the bytes."""

    DOCUMENT = "a JSON document"
    IMAGE = "one radiograph"
    STUDY = "several"


@dataclass(frozen=True)
class Answer:
    """One answer: what it means, its body (a type for JSON, or one for each media type), its headers."""

    description: str
    body: Any = None
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class DescribedCallback:
    """A request that the service sends to the client, for each of the `events`.

    `address` is an expression of OpenAPI over the request that it follows from; empty where none asks for it.
    """

    name: str
    address: str
    summary: str
    body: Any
    headers: tuple[str, ...]
    answers: Mapping[str, str]
    events: tuple[str, ...]


def event_callback(
    name: str, summary: str, body: Any, about: str, events: tuple[str, ...]
) -> DescribedCallback:
    """Describe the signed callback for these events, to the `callback_url` of the request.

    `about` is what a receiver that answers 410 hears no more of.
    """
    return DescribedCallback(
        name,
        "{$request.body#/callback_url}",
        summary,
        body,
        ("webhook-id", "webhook-timestamp", "webhook-signature"),
        {"2XX": "The callback is delivered.", "410": f"The service sends no further callback for {about}."},
        events,
    )


@dataclass(frozen=True)
class Operation:
    """The description of a route; see `describe`."""

    id: str
    summary: str
    answers: Mapping[int, Answer]
    problems: tuple[Slug, ...]
    description: str
    query: Any
    headers: tuple[str, ...]
    body: Any
    body_required: bool
    size: Size
    callback: DescribedCallback | None
    public: bool
    scope: Scope | None
    readers: bool

    def needs(self, method: str) -> Scope | None:
        """Return the scope that a key needs for this operation; None for an operation without a key."""
        return None if self.public else self.scope or scope_of(method)


def describe(
    operation_id: str,
    summary: str,
    answers: Mapping[int, Answer],
    problems: tuple[Slug, ...] = (),
    *,
    description: str = "",
    query: Any = None,
    headers: tuple[str, ...] = (),
    body: Any = None,
    body_required: bool = True,
    size: Size = Size.DOCUMENT,
    callback: DescribedCallback | None = None,
    public: bool = False,
    scope: Scope | None = None,
    readers: bool = False,
) -> Callable[[View], View]:
    """Describe what a view function takes and answers. The decorator is below the one of the route.

    `problems` are the types of problems that the route adds to those of every route. `query` is a TypedDict.
    `body` is as in Answer, and at most of this `size`. `headers` are names of api.openapi.parameters.HEADERS.
    A `public` route needs no key. Every other route needs one with `scope`, or with the scope of its method;
    where `readers` may use it, the key of a reader opens it as well.
    """
    operation = Operation(
        *(operation_id, summary, answers, problems, description, query, headers),
        *(body, body_required, size, callback, public, scope, readers),
    )

    def keep(view: View) -> View:
        view.__dict__["operation"] = operation
        return view

    return keep


def operation_of(view: Callable[..., Any] | None) -> Operation | None:
    """Return the description of a view function; None where it has none."""
    return getattr(view, "operation", None)
