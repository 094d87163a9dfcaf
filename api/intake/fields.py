"""Describes and checks the fields that a submission may have in addition to its image."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypedDict

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.openapi.json_body import loads
from jobs.callbacks.url import MAX_LENGTH, CallbackUrlRefused, parse
from jobs.reading.report import ReportInvalid, words
from jobs.reading.states import Wish
from jobs.record.states import Priority
from jobs.settings import Settings

MAX_REFERENCE = 200
_MAX_METADATA = 4096
_MAX_METADATA_DEPTH = 16
MOST_QUESTION = 500
MOST_DUE = 30 * 86_400
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
        str, {"maxLength": MAX_REFERENCE}, "A text of the client, repeated in the job and the callback."
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
    read: Annotated[
        Wish,
        "Whether a person reads it, too: at once (`requested`), as the model answers, for a share of the jobs"
        " that the operator sets (`sample`), or not. By default as the operator has set for the client.",
    ]
    due_seconds: Annotated[
        int,
        {"minimum": 60, "maximum": MOST_DUE},
        "How long after the submission the reading is due: 3600 for `stat`, 86400 for `routine` and"
        " 604800 for `archive`, unless given.",
    ]
    question: Annotated[
        str, {"maxLength": MOST_QUESTION}, "What the reader is to answer. It stands in no log or callback."
    ]
    training_use: Annotated[
        Literal["allowed", "denied"],
        "Whether models may learn from the radiograph and its signed readings: `denied` unless given.",
    ]
    consent_reference: Annotated[
        str,
        {"maxLength": MAX_REFERENCE},
        "With `training_use=allowed`: your own reference to the consent document. It stands in no log,"
        " callback or export.",
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
        "callback_url": callback_url_of(given.get("callback_url"), settings),
        "reference": _reference(given.get("reference")),
        "priority": _priority(given.get("priority")),
        "metadata": _metadata(given.get("metadata")),
        "deadline_seconds": _seconds(given, "deadline_seconds", int(settings.deadline_seconds)),
        "retention_seconds": _seconds(given, "retention_seconds", longest_kept or _MOST_RETENTION),
        "reading": _reading(given),
        **consent_of(given),
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


def callback_url_of(text: str | None, settings: Settings) -> str | None:
    """Return the callback URL in its one form. Raises Problem 422 for one that may not be called."""
    if not text:
        return None
    try:
        return parse(text, settings.callback_exceptions).url
    except CallbackUrlRefused as error:
        raise Problem(Slug.CALLBACK_REFUSED, f"{error}.") from error


def _reference(text: str | None) -> str | None:
    if text and (len(text) > MAX_REFERENCE or not text.isprintable()):
        raise malformed(f"`reference` takes at most {MAX_REFERENCE} printable characters.")
    return text or None


def _priority(text: str | None) -> Priority:
    try:
        return Priority(text or Priority.ROUTINE)
    except ValueError as error:
        raise malformed("`priority` is `stat`, `routine` or `archive`.") from error


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


def question_of(text: str | None) -> str | None:
    """Return a question to a reader. Raises Problem 400 for one that is too long or no Unicode."""
    if text and len(text) > MOST_QUESTION:
        raise malformed(f"`question` takes at most {MOST_QUESTION} characters.")
    try:
        return words(text) or None
    except ReportInvalid as error:
        raise malformed("`question` is not Unicode.") from error


def _reading(given: Mapping[str, str]) -> dict[str, Any] | None:
    names = [name for name in ("due_seconds", "question") if given.get(name)]
    try:
        wish = Wish(given["read"]) if given.get("read") else None
    except ValueError as error:
        raise malformed(f"`read` is one of {', '.join(Wish)}.") from error
    if names and wish in (None, Wish.NONE):
        raise malformed(f"`{names[0]}` is for a reading: say with `read` when a person is to read the job.")
    if wish is None:
        return None
    return {
        "wish": wish,
        "due_seconds": _seconds(given, "due_seconds", MOST_DUE, 60),
        "question": question_of(given.get("question")),
    }


def consent_of(given: Mapping[str, str]) -> dict[str, str | None]:
    """Return `training_use`, `allowed` or None, and `consent_reference`. Raises Problem 400."""
    use, reference = given.get("training_use"), given.get("consent_reference") or None
    if use not in (None, "", "allowed", "denied"):
        raise malformed("`training_use` is `allowed` or `denied`.")
    if reference and (len(reference) > MAX_REFERENCE or not reference.isprintable()):
        raise malformed(f"`consent_reference` takes at most {MAX_REFERENCE} printable characters.")
    if reference and use != "allowed":
        raise malformed("`consent_reference` names the consent for `training_use=allowed`: send both.")
    return {"training_use": "allowed" if use == "allowed" else None, "consent_reference": reference}


def _seconds(fields: Mapping[str, str], name: str, most: int, least: int = 1) -> int | None:
    text = fields.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most):
        raise malformed(f"`{name}` takes a whole number of seconds between {least} and {most}.")
    return int(text)
