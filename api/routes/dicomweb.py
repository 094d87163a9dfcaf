"""Serves DICOMweb STOW-RS (PS3.18, 10.5): each image that a PACS pushes becomes a job."""

import json
import logging
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any, TypedDict

from flask import Blueprint, Response, g, request
from pydicom import Dataset
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from api.http.multipart_related import MultipartPart, TooManyParts, related_parameters, related_parts
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.credentials import DICOMWEB
from api.intake.accept import Intake
from api.intake.dicom_instance import (
    DICOM,
    FailureReason,
    InstanceRefused,
    is_image,
    read_header,
    read_instance,
)
from api.intake.fields import SubmissionFields, single_values
from api.intake.submission import check_submission
from api.openapi.describe import Answer, Size, describe
from api.results.filing import MANUFACTURER
from jobs.record.errors import TransientError
from jobs.record.job import Job
from jobs.store.claims import idempotency_claim_key

log = logging.getLogger(__name__)

_IGNORED = 0xB006
"""Warning reason "Elements Discarded": the instance is acknowledged, and not stored."""
_OVERLOAD = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
"""The status of a problem after which the same request may succeed later."""


class StoreResponse(TypedDict):
    """ReferencedSOPSequence, FailedSOPSequence and OtherFailuresSequence, by tag (PS3.18)."""


_STORED = {"application/dicom+json": StoreResponse}
STOW: dict[str, Any] = {
    "answers": {
        200: Answer("All instances were stored.", _STORED, ("Link",)),
        202: Answer(
            "Some instances were stored. The answer lists the others with their reasons. An instance that is"
            " no image, or that this service made, is acknowledged with a WarningReason and not stored.",
            _STORED,
            ("Link",),
        ),
        409: Answer("No instance was stored.", _STORED),
    },
    "problems": (
        *(Slug.MALFORMED, Slug.REQUEST_ENTITY_TOO_LARGE, Slug.UNSUPPORTED_MEDIA_TYPE, Slug.CALLBACK_REFUSED),
        *(Slug.NOT_READ, Slug.TOO_MANY_READINGS, Slug.TRAINING_FORBIDDEN),
        *(Slug.QUOTA_EXCEEDED, Slug.TOO_MANY_WAITING, Slug.QUEUE_FULL, Slug.TOO_BUSY),
    ),
    "description": "Each image instance becomes a job, with the fields of the query. An instance that is sent"
    " again, with the same bytes and fields, is the same job for as long as the job is kept. HTTP Basic with"
    " the API key as password is accepted as well.",
    "query": SubmissionFields,
    "headers": ("traceparent",),
    "body": {"multipart/related": Annotated[bytes, "Parts of type application/dicom."]},
    "size": Size.STUDY,
}


@dataclass
class Stored:
    """The outcome of each instance of a request: a job, no job on purpose, or the reason of a failure."""

    jobs: list[tuple[Dataset, Job]] = field(default_factory=list)
    ignored: list[Dataset] = field(default_factory=list)
    failed: list[tuple[Dataset | None, int]] = field(default_factory=list)


def dicomweb_routes(intake: Intake) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("dicomweb", __name__, url_prefix=DICOMWEB.rstrip("/"))

    @routes.post("/studies")
    @describe("storeInstances", "Push a study by DICOMweb STOW-RS", **STOW)
    def store() -> Response:
        return stored(None)

    @routes.post("/studies/<study>")
    @describe("storeInstancesOfStudy", "Push instances of this study by DICOMweb STOW-RS", **STOW)
    def store_in(study: str) -> Response:
        return stored(study)

    def stored(study: str | None) -> Response:
        if request.mimetype != "multipart/related" or related_parameters(request).get("type", DICOM) != DICOM:
            detail = 'Send multipart/related; type="application/dicom", each instance as a part of its own.'
            raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, detail)
        request.max_content_length = intake.settings.max_study_bytes
        g.headers = intake.admit(g.caller)
        return _answer(_store_all(intake, study), intake.settings.public_url)

    return routes


def _store_all(intake: Intake, study: str | None) -> Stored:
    """Store every instance of the request; raise Problem where the whole request fails, with none stored."""
    stored, fields, settings = Stored(), single_values(request.args), intake.settings
    try:
        parts = related_parts(request, settings.max_bytes, settings.max_instances)
        for number, part in enumerate(parts, start=1):
            _store_one(part, number, stored, intake, study, fields)
    except TooManyParts:
        # One failure stands for all that follow. Their number is unknown, as the rest is not read.
        stored.failed.append((None, FailureReason.NO_RESOURCES))
    except (Problem, BadRequest, RequestEntityTooLarge):
        # Instances that have become jobs must be answered. The rest is not read, and has no names.
        if not stored.jobs:
            raise
        stored.failed.append((None, FailureReason.NOT_UNDERSTOOD))
    if not stored.jobs and not stored.failed and not stored.ignored:
        raise Problem(Slug.MALFORMED, "The multipart body has no instance.")
    return stored


def _store_one(
    part: MultipartPart,
    number: int,
    stored: Stored,
    intake: Intake,
    study: str | None,
    fields: dict[str, str],
) -> None:
    instance: Dataset | None = None
    try:
        instance, data = read_instance(part)
        if not is_image(instance):
            stored.ignored.append(instance)
            return
        if number > 1:
            g.headers = intake.admit(g.caller)
        submission = check_submission(data, fields, g.caller.client, intake.settings, intake.pictures)
        # Parsed only after the check, because pydicom inflates a deflated file as a whole.
        header = read_header(data)
        if study is not None and header.get("StudyInstanceUID") != study:
            raise InstanceRefused(FailureReason.WRONG_STUDY)
        if header.get("Manufacturer") == MANUFACTURER:
            # This service made it, and the PACS sends it back with its study.
            stored.ignored.append(instance)
            return
        # No idempotency key of a client begins with a newline.
        key = idempotency_claim_key(g.caller.client, f"\n{instance.ReferencedSOPInstanceUID}")
        accepted = intake.accept(submission, g.caller, key, expires=False)
        stored.jobs.append((instance, accepted.job))
        if not accepted.repeated:
            g.setdefault("accepted", []).append(accepted.job.id)  # For the audit log.
    except InstanceRefused as refusal:
        stored.failed.append((instance, refusal.reason))
    except Problem as problem:
        g.headers = problem.headers or g.headers
        # Wrong fields in the query concern all instances, and so does a service that is too busy.
        if problem.slug in (Slug.MALFORMED, Slug.CALLBACK_REFUSED):
            raise
        if problem.status in _OVERLOAD and not stored.jobs:
            raise
        stored.failed.append((instance, _reason(problem)))
    except TransientError:
        if not stored.jobs:
            raise
        stored.failed.append((instance, FailureReason.NO_RESOURCES))


def _reason(problem: Problem) -> FailureReason:
    """Return the failure reason of an instance that had this problem."""
    if problem.slug is Slug.KEY_REUSED:
        return FailureReason.DUPLICATE
    if problem.status == HTTPStatus.UNSUPPORTED_MEDIA_TYPE:
        return FailureReason.UNKNOWN_SYNTAX
    if problem.status in (*_OVERLOAD, HTTPStatus.CONFLICT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE):
        return FailureReason.NO_RESOURCES
    return FailureReason.NOT_UNDERSTOOD


def _answer(stored: Stored, public_url: str) -> Response:
    answer = Dataset()
    answer.RetrieveURL = None
    for instance, job in stored.jobs:
        instance.RetrieveURL = f"{public_url}/v1/jobs/{job.id}/image"
    for instance in stored.ignored:
        instance.WarningReason = _IGNORED
    if stored.jobs or stored.ignored:
        answer.ReferencedSOPSequence = [*(instance for instance, _ in stored.jobs), *stored.ignored]
    named = [(instance, reason) for instance, reason in stored.failed if instance is not None]
    for instance, reason in named:
        instance.FailureReason = reason
    if named:
        answer.FailedSOPSequence = [instance for instance, _ in named]
    others = [reason for instance, reason in stored.failed if instance is None]
    if others:
        answer.OtherFailuresSequence = [_failure(reason) for reason in others]
    acknowledged, reasons = stored.jobs or stored.ignored, stored.failed or stored.ignored
    status = 200 if not reasons else 202 if acknowledged else 409
    response = Response(json.dumps(answer.to_json_dict()), status, content_type="application/dicom+json")
    for _, job in stored.jobs:
        response.headers.add("Link", f'<{public_url}/v1/jobs/{job.id}>; rel="item"')
    return response


def _failure(reason: int) -> Dataset:
    failure = Dataset()
    failure.FailureReason = reason
    return failure
