"""Read one submission from a request: the image and its fields, checked, before anything is stored."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge

from api.http.media_types import MEDIA_TYPE
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.decode import Pictures
from api.intake.fields import SubmissionFields, malformed, read_fields, single_values
from api.openapi.schema import CLOSED
from jobs.record.job import ImageFacts
from jobs.record.states import Priority
from jobs.settings import Settings

FORM_OVERHEAD = 64 * 1024
"""Bytes that a multipart body may have beyond its image."""
SUBMISSION_PROBLEMS = (
    Slug.MALFORMED,
    Slug.IMAGE_TOO_LARGE,
    Slug.TOO_MANY_PIXELS,
    Slug.UNSUPPORTED_IMAGE,
    Slug.BROKEN_IMAGE,
    Slug.CALLBACK_REFUSED,
)


class JobFields(SubmissionFields, total=False):
    """The same, with what stands in the place of the image."""

    upload_id: Annotated[str, "Of an image that was uploaded before; there is no other image then."]


class _Form(JobFields, total=False):
    image: bytes


SubmissionForm = Annotated[_Form, CLOSED]
_HOW = (
    "Send the image itself, not as base64: in a multipart form, as a file in the field `image`, with all"
    " other fields beside it, or as the request's whole body."
)
TEXT = re.compile(rb"\s*(?:[\[{]|data:|[A-Za-z0-9+/\s]{64})")
"""How JSON, a data URL and base64 begin, and no image that is read here."""
_OF_THE_FILE = ("data", "image", "acquisition", "upload")


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
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OF_THE_FILE}
        told = {name: value for name, value in given.items() if value is not None}
        text = json.dumps(told | {"image": self.image.sha256}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_submission(
    request: Request,
    client: str,
    settings: Settings,
    pictures: Pictures,
    uploaded: Callable[[str], tuple[bytes, str | None]],
) -> Submission:
    """The submission in `request`: a multipart form, or the raw image with its fields in the query.

    `uploaded` gives the image of the upload with an id, which may stand in the place of the image, and the
    type that was ordered, if it is to be checked; what it raises is raised.

    Raises Problem: 400 malformed, 413 too large, 415 no image that we read, 422 an image that does not
    decode, an upload of another type than was ordered or a callback that may not be called, 503 where no
    process is free to decode it.
    """
    try:
        if request.mimetype == "multipart/form-data":
            data, fields = _from_form(request)
        elif request.is_json:
            raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, f"JSON is not taken here. {_HOW}")
        else:
            data, fields = request.get_data(cache=False, parse_form_data=False), single_values(request.args)
    except RequestEntityTooLarge as error:
        if request.content_length is not None and request.content_length <= settings.max_bytes:
            # Not the body, but what it is made of.
            raise malformed("The form has too many fields, or too long ones, besides its image.") from error
        raise too_large(settings.max_bytes) from error
    upload, ordered = fields.pop("upload_id", None), None
    if upload is not None:
        if data:
            raise malformed("Send either an image or an `upload_id`, not both.")
        data, ordered = uploaded(upload)
    submission = replace(checked(data, fields, client, settings, pictures), upload=upload)
    found = MEDIA_TYPE[submission.image.format]
    if ordered and ordered != found:
        raise upload_differs(f"The upload is {found}; {ordered} was ordered.")
    return submission


def checked(
    data: bytes, fields: Mapping[str, str], client: str, settings: Settings, pictures: Pictures
) -> Submission:
    """The submission of the image `data` with these fields. Raises Problem as read_submission does."""
    if not data:
        raise malformed("The image is empty. Send it as the form field `image`, or as the request's body.")
    if len(data) > settings.max_bytes:
        raise too_large(settings.max_bytes)
    if TEXT.match(data):
        raise Problem(Slug.UNSUPPORTED_IMAGE, f"This is text, and no image. {_HOW}")
    given = read_fields(fields, settings, settings.retention_of(client))
    facts = pictures.facts(data, client)
    image = ImageFacts(
        sha256=facts.sha256, width=facts.width, height=facts.height, format=facts.format, size=len(data)
    )
    return Submission(data, image, facts.acquisition or None, **given)


def too_large(max_bytes: int) -> Problem:
    """The answer to an image of more bytes."""
    return Problem(
        Slug.IMAGE_TOO_LARGE,
        f"The image has more than {max_bytes} bytes. Send it compressed or smaller.",
        max_bytes=max_bytes,
    )


def upload_differs(detail: str) -> Problem:
    """The answer to an upload that is not what was ordered."""
    detail += " Order an upload of what you have, and put it there."
    return Problem(Slug.UPLOAD_DIFFERS, detail)


def _from_form(request: Request) -> tuple[bytes, dict[str, str]]:
    if "boundary" not in request.mimetype_params:
        raise malformed("The multipart body names no boundary in its Content-Type.")
    if request.args:
        raise malformed("With a multipart body the fields go into the form, not into the query.")
    fields = single_values(request.form)
    images = request.files.getlist("image")
    others = sorted(request.files.keys() - {"image"})
    if others:
        raise malformed(f"Unknown file field: {', '.join(others)[:200]}. The image goes into `image`.")
    if len(images) != (0 if "upload_id" in fields else 1):
        raise malformed(
            "The form must hold exactly one file in the field `image`, or none and an `upload_id`."
        )
    return images[0].read() if images else b"", fields
