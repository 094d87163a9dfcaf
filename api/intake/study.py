"""Reads a study from a request, its images and their common fields, and checks all before any is stored."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from flask import Request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import RequestEntityTooLarge

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.decode import Pictures
from api.intake.fields import SubmissionFields, malformed, single_values
from api.intake.submission import Submission, check_submission
from api.openapi.schema import CLOSED
from jobs.record.study import MOST_IMAGES
from jobs.settings import Settings

_OF_ONE_IMAGE = (Slug.IMAGE_TOO_LARGE, Slug.TOO_MANY_PIXELS, Slug.UNSUPPORTED_IMAGE, Slug.BROKEN_IMAGE)


class _StudyForm(SubmissionFields):
    image: Annotated[list[bytes], {"minItems": 1, "maxItems": MOST_IMAGES}, "The field, once for each image."]


StudyForm = Annotated[_StudyForm, CLOSED]


@dataclass(frozen=True)
class Picture:
    """One checked image of a study. `submission` is without the image data, which stays in `file`."""

    file: FileStorage
    submission: Submission

    def bytes(self) -> bytes:
        """Read the image as it was sent."""
        self.file.seek(0)
        return self.file.read()


def read_study(request: Request, client: str, settings: Settings, pictures: Pictures) -> list[Picture]:
    """Read the images of `request`, a multipart form, in their order.

    Raises Problem as api.intake.submission.read_submission does, with `image`, the number of the refused
    image, from 1.
    """
    if request.mimetype != "multipart/form-data" or "boundary" not in request.mimetype_params:
        detail = "Send a multipart form with the field `image` once for each image of the study."
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, detail)
    request.max_content_length = settings.max_study_bytes
    request.max_form_parts = MOST_IMAGES + len(SubmissionFields.__annotations__)
    try:
        fields, files = single_values(request.form), request.files.getlist("image")
    except RequestEntityTooLarge as error:
        if request.content_length is not None and request.content_length <= settings.max_study_bytes:
            # The body is small enough: one of its parts, or their number, is over its limit.
            detail = f"The form has more than {MOST_IMAGES} images, or too many fields, or too long ones."
            raise malformed(detail) from error
        detail = f"The study has more than {settings.max_study_bytes} bytes. Send smaller images, or fewer."
        raise Problem(Slug.REQUEST_ENTITY_TOO_LARGE, detail, max_bytes=settings.max_study_bytes) from error
    if request.args:
        raise malformed("The fields of a study go into the form, not into the query.")
    others = sorted(request.files.keys() - {"image"})
    if others:
        raise malformed(f"Unknown file field: {', '.join(others)[:200]}. Each image goes into `image`.")
    if not 1 <= len(files) <= MOST_IMAGES:
        raise malformed(f"A study has 1 to {MOST_IMAGES} files in the field `image`; this has {len(files)}.")
    return [
        _picture(file, number, fields, client, settings, pictures)
        for number, file in enumerate(files, start=1)
    ]


def _picture(
    file: FileStorage,
    number: int,
    fields: Mapping[str, str],
    client: str,
    settings: Settings,
    pictures: Pictures,
) -> Picture:
    data = file.read(settings.max_bytes + 1)
    try:
        return Picture(file, replace(check_submission(data, fields, client, settings, pictures), data=b""))
    except Problem as problem:
        if data and problem.slug not in _OF_ONE_IMAGE:
            raise
        detail = f"Image {number}: {problem.detail} Nothing of the study was accepted."
        raise Problem(problem.slug, detail, **problem.extra, image=number) from problem
