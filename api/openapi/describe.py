"""What each route says of itself, beside its code; api.openapi.document makes a document of it.

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
    """How large the body of a request may be; api.intake.body_limits has the bytes."""

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
    """A request that the service makes in turn."""

    name: str
    address: str
    summary: str
    body: Any
    headers: tuple[str, ...]
    answers: Mapping[str, str]


@dataclass(frozen=True)
class Operation:
    """What a route says of itself; see `describe`."""

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

    def needs(self, method: str) -> Scope | None:
        """The scope that a key must have for this, by this method; None where there is no need of a key."""
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
) -> Callable[[View], View]:
    """Say what a view function takes and answers; stands right above it, below its route.

    `problems` are types of api.http.problem_kinds, beside those that any route may answer. `query` is a
    TypedDict, `body` as in Answer and of this `size` at most, `headers` names of
    api.openapi.document.HEADERS. A `public` route takes no key; any other one with the
    `scope`, or with that of its method.
    """
    operation = Operation(
        *(operation_id, summary, answers, problems, description, query, headers),
        *(body, body_required, size, callback, public, scope),
    )

    def keep(view: View) -> View:
        view.__dict__["operation"] = operation
        return view

    return keep


def operation_of(view: Callable[..., Any] | None) -> Operation | None:
    """What this view function says of itself, None where it says nothing."""
    return getattr(view, "operation", None)
