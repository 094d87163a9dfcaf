"""Reads one submission from a request, and checks the image and its fields before anything is stored."""

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
from api.intake.acquisition_time import in_utc
from api.intake.decode import Pictures
from api.intake.fields import SubmissionFields, malformed, read_fields, single_values
from api.openapi.schema import CLOSED
from jobs.record.ids import digest_of
from jobs.record.job import ImageFacts
from jobs.record.states import Priority
from jobs.settings import Settings

FORM_OVERHEAD = 64 * 1024
"""Bytes that a multipart body may have in addition to its image."""
SUBMISSION_PROBLEMS = (
    Slug.MALFORMED,
    Slug.IMAGE_TOO_LARGE,
    Slug.TOO_MANY_PIXELS,
    Slug.UNSUPPORTED_IMAGE,
    Slug.BROKEN_IMAGE,
    Slug.CALLBACK_REFUSED,
    Slug.NOT_READ,
    Slug.TRAINING_FORBIDDEN,
    Slug.TOO_MANY_READINGS,
)


class JobFields(SubmissionFields, total=False):
    """The fields of a submission, and the upload that may replace its image."""

    upload_id: Annotated[str, "The id of an uploaded image, instead of an image in the request."]


class _Form(JobFields, total=False):
    image: bytes


SubmissionForm = Annotated[_Form, CLOSED]
_HOW = (
    "Send the image itself, not as base64: in a multipart form, as a file in the field `image`, with all"
    " other fields beside it, or as the request's whole body."
)
TEXT = re.compile(rb"\s*(?:[\[{]|data:|[A-Za-z0-9+/\s]{64})")
"""The beginning of JSON, a data URL or base64; no image format of this service begins so."""
_OF_THE_FILE = ("data", "image", "acquisition", "upload", "filed_under")


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
    reading: dict[str, Any] | None = None
    """The client's wish for a reading: see `Job.reading`."""
    training_use: str | None = None
    consent_reference: str | None = None
    upload: str | None = None
    """The id of the upload that the image was read from, if any."""
    filed_under: str | None = None
    """See `Job.filed_under`."""

    @property
    def digest(self) -> str:
        """Return the SHA-256 of the submission: of the image's digest and the fields, as JSON in UTF-8."""
        given = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _OF_THE_FILE}
        present = {name: value for name, value in given.items() if value is not None}
        text = json.dumps(present | {"image": self.image.sha256}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


def read_submission(
    request: Request,
    client: str,
    settings: Settings,
    pictures: Pictures,
    uploaded: Callable[[str], tuple[bytes, str | None]],
) -> Submission:
    """Read the submission of `request`: a multipart form, or the raw image with its fields in the query.

    `uploaded` reads the image of an upload by its id, for a submission that names one instead of an image. It
    returns the image, and the type that was ordered, or None for no check. Its exceptions are passed on.

    Raises Problem: 400 malformed, 413 too large, 415 no supported image, 422 an image that does not decode,
    an upload of another type than was ordered or a callback URL that is not allowed, 503 where no process is
    free to decode the image.
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
    submission = replace(check_submission(data, fields, client, settings, pictures), upload=upload)
    found = MEDIA_TYPE[submission.image.format]
    if ordered and ordered != found:
        raise upload_differs(f"The upload is {found}; {ordered} was ordered.")
    return submission


def check_submission(
    data: bytes, fields: Mapping[str, str], client: str, settings: Settings, pictures: Pictures
) -> Submission:
    """Check the image `data` and its fields. Raises Problem as read_submission does."""
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
    filed_under = digest_of(facts.study_uid) if facts.study_uid else None
    acquisition = in_utc(facts.acquisition, settings.time_zone_of(client))
    return Submission(data, image, acquisition or None, filed_under=filed_under, **given)


def too_large(max_bytes: int) -> Problem:
    """Make the problem of an image of more bytes."""
    return Problem(
        Slug.IMAGE_TOO_LARGE,
        f"The image has more than {max_bytes} bytes. Send it compressed or smaller.",
        max_bytes=max_bytes,
    )


def upload_differs(detail: str) -> Problem:
    """Make the problem of an upload of another size or type than was ordered."""
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
