"""Read one submission from a request: the image and its fields, checked, before anything is stored."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from threading import BoundedSemaphore
from typing import Annotated, Any, TypedDict

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.problem import Problem
from api.schema import CLOSED
from api.threads import DECODERS
from jobs.callback_url import MAX_LENGTH, CallbackRefused, parse
from jobs.job import ImageFacts
from jobs.settings import Settings
from jobs.states import Priority
from model.image import BrokenImage, ImageError, Limits, Radiograph, TooManyPixels, decode

FORM_OVERHEAD = 64 * 1024
"""Bytes that a multipart body may have beyond its image."""
MAX_REFERENCE = 200
MAX_METADATA = 4096
MAX_METADATA_DEPTH = 16
_AT_ONCE = BoundedSemaphore(DECODERS)
MOST_RETENTION = 100 * 366 * 86_400
"""A hundred years, in seconds."""
SUBMISSION_PROBLEMS = (
    "malformed",
    "image-too-large",
    "too-many-pixels",
    "unsupported-image",
    "broken-image",
    "callback-refused",
)


class SubmissionFields(TypedDict, total=False):
    """What may stand beside the image."""

    callback_url: Annotated[
        str,
        {"format": "uri", "maxLength": MAX_LENGTH},
        "https address that is called once the job has ended.",
    ]
    reference: Annotated[
        str, {"maxLength": MAX_REFERENCE}, "The client's own, given back in the job and the callback."
    ]
    priority: Annotated[Priority, {"default": "routine"}]
    metadata: Annotated[str, {"maxLength": MAX_METADATA}, "A JSON object, given back in the job."]
    deadline_seconds: Annotated[
        int,
        {"minimum": 1},
        "Ends `expired` if no worker has taken it up by then; at most the service's own deadline, which"
        " stands where this is not given.",
    ]
    retention_seconds: Annotated[
        int,
        {"minimum": 1, "maximum": MOST_RETENTION},
        "For how long the job is kept after its end; it is then deleted. At most what the operator has set,"
        " which stands where this is not given.",
    ]


class JobFields(SubmissionFields, total=False):
    """The same, with what stands in the place of the image."""

    upload_id: Annotated[str, "Of an image that was uploaded before; there is no other image then."]


class _Form(JobFields, total=False):
    image: bytes


SubmissionForm = Annotated[_Form, CLOSED]
FIELDS = SubmissionFields.__annotations__.keys()
OF_THE_FILE = ("data", "image", "acquisition")


@dataclass(frozen=True)
class Submission:
    """A checked submission."""

    data: bytes
    image: ImageFacts
    acquisition: dict[str, Any] | None
    callback_url: str | None
    reference: str | None
    priority: Priority
    metadata: dict[str, Any] | None
    deadline_seconds: int | None
    retention_seconds: int | None
    upload: str | None = None
    """The upload that the image came by, if it did."""

    @property
    def digest(self) -> str:
        """SHA-256 of all that was submitted: of the image's own digest and the fields, as JSON in UTF-8."""
        apart = (*OF_THE_FILE, "upload")
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}
        told = {name: value for name, value in given.items() if value is not None}
        text = json.dumps(told | {"image": self.image.sha256}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_submission(
    request: Request, settings: Settings, longest_kept: int | None, uploaded: Callable[[str], bytes]
) -> Submission:
    """The submission in `request`: a multipart form, or the raw image with its fields in the query.

    `longest_kept`: for how many seconds the client's jobs are kept at most. `uploaded` gives the image of the
    upload with an id, which may stand in the place of the image; what it raises is raised.

    Raises Problem: 400 malformed, 413 too large, 415 no image that we read, 422 an image that does not decode
    or a callback that may not be called.
    """
    try:
        if request.mimetype == "multipart/form-data":
            data, fields = _from_form(request)
        else:
            data, fields = request.get_data(cache=False, parse_form_data=False), single_values(request.args)
    except RequestEntityTooLarge as error:
        if request.content_length is not None and request.content_length <= settings.max_bytes:
            # Not the body, but what it is made of.
            raise _malformed("The form has too many fields, or too long ones, besides its image.") from error
        raise too_large(settings.max_bytes) from error
    upload = fields.pop("upload_id", None)
    if upload is not None:
        if data:
            raise _malformed("Send either an image or an `upload_id`, not both.")
        data = uploaded(upload)
    return replace(checked(data, fields, settings, longest_kept), upload=upload)


def checked(
    data: bytes, fields: Mapping[str, str], settings: Settings, longest_kept: int | None
) -> Submission:
    """The submission of the image `data` with these fields. Raises Problem as read_submission does."""
    unknown = sorted(fields.keys() - FIELDS)
    if unknown:
        known = ", ".join(sorted(FIELDS))
        raise _malformed(f"Unknown field: {', '.join(unknown)[:200]}. Besides `image` there are: {known}.")
    if not data:
        raise _malformed("The image is empty. Send it as the form field `image`, or as the request's body.")
    if len(data) > settings.max_bytes:
        raise too_large(settings.max_bytes)
    given: dict[str, Any] = {
        "callback_url": _callback_url(fields.get("callback_url"), settings),
        "reference": _reference(fields.get("reference")),
        "priority": _priority(fields.get("priority")),
        "metadata": _metadata(fields.get("metadata")),
        "deadline_seconds": _seconds(fields, "deadline_seconds", int(settings.deadline_seconds)),
        "retention_seconds": _seconds(fields, "retention_seconds", longest_kept or MOST_RETENTION),
    }
    radiograph = _radiograph(data, settings)
    image = ImageFacts(
        sha256=radiograph.sha256,
        width=radiograph.width,
        height=radiograph.height,
        format=radiograph.format,
        size=len(data),
    )
    return Submission(data, image, radiograph.acquisition.facts() or None, **given)


def too_large(max_bytes: int) -> Problem:
    """The answer to an image of more bytes."""
    return Problem(
        413,
        "image-too-large",
        f"The image has more than {max_bytes} bytes. Send it compressed or smaller.",
        max_bytes=max_bytes,
    )


def _from_form(request: Request) -> tuple[bytes, dict[str, str]]:
    if "boundary" not in request.mimetype_params:
        raise _malformed("The multipart body names no boundary in its Content-Type.")
    if request.args:
        raise _malformed("With a multipart body the fields go into the form, not into the query.")
    fields = single_values(request.form)
    images = request.files.getlist("image")
    others = sorted(request.files.keys() - {"image"})
    if others:
        raise _malformed(f"Unknown file field: {', '.join(others)[:200]}. The image goes into `image`.")
    if len(images) != (0 if "upload_id" in fields else 1):
        raise _malformed(
            "The form must hold exactly one file in the field `image`, or none and an `upload_id`."
        )
    return images[0].read() if images else b"", fields


def single_values(values: Any) -> dict[str, str]:
    """The values of a form or a query, each given once. Raises Problem 400."""
    for name, given in values.lists():
        if len(given) > 1:
            raise _malformed(f"The field {name[:50]} is given {len(given)} times.")
    return dict(values.items())


def _radiograph(data: bytes, settings: Settings) -> Radiograph:
    try:
        with _AT_ONCE:
            return decode(data, Limits(settings.max_pixels))
    except TooManyPixels as error:
        raise Problem(413, "too-many-pixels", error.detail, max_pixels=settings.max_pixels) from error
    except BrokenImage as error:
        raise Problem(422, "broken-image", error.detail) from error
    except ImageError as error:
        raise Problem(415, "unsupported-image", error.detail) from error


def _callback_url(text: str | None, settings: Settings) -> str | None:
    if not text:
        return None
    try:
        parse(text, settings.callback_exceptions)
    except CallbackRefused as error:
        raise Problem(422, "callback-refused", f"{error}.") from error
    return text


def _reference(text: str | None) -> str | None:
    if text and (len(text) > MAX_REFERENCE or not text.isprintable()):
        raise _malformed(f"`reference` takes at most {MAX_REFERENCE} printable characters.")
    return text or None


def _priority(text: str | None) -> Priority:
    try:
        return Priority(text or Priority.ROUTINE)
    except ValueError as error:
        raise _malformed("`priority` is `stat` or `routine`.") from error


def _metadata(text: str | None) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        if len(text) > MAX_METADATA:
            raise ValueError
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict) or _depth(value) > MAX_METADATA_DEPTH:
        raise _malformed(
            f"`metadata` takes a JSON object of at most {MAX_METADATA} characters, nested at most"
            f" {MAX_METADATA_DEPTH} deep."
        )
    return value


def _seconds(fields: Mapping[str, str], name: str, most: int) -> int | None:
    text = fields.get(name)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= most):
        raise _malformed(f"`{name}` takes a whole number of seconds between 1 and {most}.")
    return int(text)


def _finite(text: str) -> float:
    """Python reads NaN, Infinity and 1e999, and would write them where JSON has no such thing."""
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text} is not a number in JSON")
    return number


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level:
        depth += 1
        parts = [part.values() if isinstance(part, dict) else part for part in level]
        level = [inner for part in parts for inner in part if isinstance(inner, dict | list)]
    return depth


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed", detail)
