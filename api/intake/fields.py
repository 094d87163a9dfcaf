"""Describes and checks the fields that a submission may have in addition to its image."""

from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.openapi.json_body import loads
from jobs.callbacks.url import MAX_LENGTH, CallbackUrlRefused, parse
from jobs.record.states import Priority
from jobs.settings import Settings

_MAX_REFERENCE = 200
_MAX_METADATA = 4096
_MAX_METADATA_DEPTH = 16
_MOST_RETENTION = 100 * 366 * 86_400
"""A hundred years, in seconds."""


class SubmissionFields(TypedDict, total=False):
    """The fields of a submission."""

    callback_url: Annotated[
        str,
        {"format": "uri", "maxLength": MAX_LENGTH},
        "The https URL that is called once the job has ended.",
    ]
    reference: Annotated[
        str, {"maxLength": _MAX_REFERENCE}, "A text of the client, repeated in the job and the callback."
    ]
    priority: Annotated[Priority, {"default": "routine"}]
    metadata: Annotated[str, {"maxLength": _MAX_METADATA}, "A JSON object, repeated in the job."]
    deadline_seconds: Annotated[
        int,
        {"minimum": 1},
        "The job ends `expired` if no worker has started it by then. At most, and by default, the deadline of"
        " the service.",
    ]
    retention_seconds: Annotated[
        int,
        {"minimum": 1, "maximum": _MOST_RETENTION},
        "How long the job is kept after its end, before it is deleted. At most, and by default, the time that"
        " the operator has set.",
    ]


def read_fields(given: Mapping[str, str], settings: Settings, longest_kept: int | None) -> dict[str, Any]:
    """Check the fields, and return the value of each: its default, or None, where it is not given.

    `longest_kept`: the most seconds that the client's jobs may be kept; None for no limit. Raises Problem:
    400, or 422 for a callback URL that is not allowed.
    """
    unknown = sorted(given.keys() - SubmissionFields.__annotations__.keys())
    if unknown:
        known = ", ".join(sorted(SubmissionFields.__annotations__))
        raise malformed(f"Unknown field: {', '.join(unknown)[:200]}. Besides `image` there are: {known}.")
    return {
        "callback_url": _callback_url(given.get("callback_url"), settings),
        "reference": _reference(given.get("reference")),
        "priority": _priority(given.get("priority")),
        "metadata": _metadata(given.get("metadata")),
        "deadline_seconds": _seconds(given, "deadline_seconds", int(settings.deadline_seconds)),
        "retention_seconds": _seconds(given, "retention_seconds", longest_kept or _MOST_RETENTION),
    }


def single_values(values: Any) -> dict[str, str]:
    """Return the values of a form or a query. Raises Problem 400 for a field that is given twice."""
    for name, given in values.lists():
        if len(given) > 1:
            raise malformed(f"The field {name[:50]} is given {len(given)} times.")
    return dict(values.items())


def malformed(detail: str) -> Problem:
    """Make the problem of a malformed field or body."""
    return Problem(Slug.MALFORMED, detail)


def _callback_url(text: str | None, settings: Settings) -> str | None:
    if not text:
        return None
    try:
        return parse(text, settings.callback_exceptions).url
    except CallbackUrlRefused as error:
        raise Problem(Slug.CALLBACK_REFUSED, f"{error}.") from error


def _reference(text: str | None) -> str | None:
    if text and (len(text) > _MAX_REFERENCE or not text.isprintable()):
        raise malformed(f"`reference` takes at most {_MAX_REFERENCE} printable characters.")
    return text or None


def _priority(text: str | None) -> Priority:
    try:
        return Priority(text or Priority.ROUTINE)
    except ValueError as error:
        raise malformed("`priority` is `stat` or `routine`.") from error


def _metadata(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        value = loads(text, _MAX_METADATA_DEPTH) if len(text) <= _MAX_METADATA else None
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise malformed(
            f"`metadata` takes a JSON object of at most {_MAX_METADATA} characters, nested at most"
            f" {_MAX_METADATA_DEPTH} deep."
        )
    return value


def _seconds(fields: Mapping[str, str], name: str, most: int) -> int | None:
    text = fields.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= most):
        raise malformed(f"`{name}` takes a whole number of seconds between 1 and {most}.")
    return int(text)
