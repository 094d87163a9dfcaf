"""Serves DICOMweb STOW-RS (PS3.18, 10.5): each image that a PACS pushes becomes a job."""

import io
import json
import logging
import re
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

from flask import Blueprint, Response, g, request
from pydicom import Dataset, dcmread
from pydicom.filereader import read_dataset
from pydicom.uid import UID
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from api.http.multipart_related import MultipartPart, TooManyParts, related_parameters, related_parts
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.credentials import DICOMWEB
from api.intake.accept import Intake
from api.intake.fields import SubmissionFields, single_values
from api.intake.submission import check_submission
from api.openapi.describe import Answer, Size, describe
from api.results.dicom_report import MANUFACTURER
from jobs.record.errors import TransientError
from jobs.record.job import Job
from jobs.store.claims import key_place

log = logging.getLogger(__name__)

DICOM = "application/dicom"
_PREAMBLE = 132
_NO_RESOURCES, _WRONG_STUDY, _NOT_UNDERSTOOD = 0xA700, 0xA900, 0xC000
_UNKNOWN_SYNTAX, _UNKNOWN_CLASS, _DUPLICATE = 0xC122, 0x0122, 0x0111
"""Failure reasons of PS3.18, table I.2-2."""
_IGNORED = 0xB006
"""Warning reason "Elements Discarded": the instance is acknowledged, and not stored."""
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
"""Allows leading zeros, which some systems write and `UID.is_valid` refuses."""
_REASON = {
    409: _NO_RESOURCES,
    413: _NO_RESOURCES,
    429: _NO_RESOURCES,
    503: _NO_RESOURCES,
    415: _UNKNOWN_SYNTAX,
}


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


class _InstanceRefused(Exception):
    def __init__(self, reason: int) -> None:
        super().__init__(f"{reason:04X}")
        self.reason = reason


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
        stored.failed.append((None, _NO_RESOURCES))
    except (Problem, BadRequest, RequestEntityTooLarge):
        # Instances that have become jobs must be answered. The rest is not read, and has no names.
        if not stored.jobs:
            raise
        stored.failed.append((None, _NOT_UNDERSTOOD))
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
        instance, data = _instance(part)
        if not _is_image(instance):
            stored.ignored.append(instance)
            return
        if number > 1:
            g.headers = intake.admit(g.caller)
        submission = check_submission(data, fields, g.caller.client, intake.settings, intake.pictures)
        # Parsed only after the check, because pydicom inflates a deflated file as a whole.
        header = _header(data)
        if study is not None and header.get("StudyInstanceUID") != study:
            raise _InstanceRefused(_WRONG_STUDY)
        if header.get("Manufacturer") == MANUFACTURER:
            # This service made it, and the PACS sends it back with its study.
            stored.ignored.append(instance)
            return
        # No idempotency key of a client begins with a newline.
        key = key_place(g.caller.client, f"\n{instance.ReferencedSOPInstanceUID}")
        accepted = intake.accept(submission, g.caller, key, expires=False)
        stored.jobs.append((instance, accepted.job))
        if not accepted.repeated:
            g.setdefault("accepted", []).append(accepted.job.id)  # For the audit log.
    except _InstanceRefused as refusal:
        stored.failed.append((instance, refusal.reason))
    except Problem as problem:
        g.headers = problem.headers or g.headers
        # Wrong fields in the query concern all instances, and so does a service that is too busy.
        if problem.slug in (Slug.MALFORMED, Slug.CALLBACK_REFUSED):
            raise
        if problem.status in (429, 503) and not stored.jobs:
            raise
        reason = (
            _DUPLICATE if problem.slug == Slug.KEY_REUSED else _REASON.get(problem.status, _NOT_UNDERSTOOD)
        )
        stored.failed.append((instance, reason))
    except TransientError:
        if not stored.jobs:
            raise
        stored.failed.append((instance, _NO_RESOURCES))


def _instance(part: MultipartPart) -> tuple[Dataset, bytes]:
    """Read the class and instance UID of a part, and its bytes. Raises _InstanceRefused."""
    if part.data is None:
        raise _InstanceRefused(_NO_RESOURCES)
    data = bytes(part.data)
    if part.media_type != DICOM:
        raise _InstanceRefused(_NOT_UNDERSTOOD)
    start = _PREAMBLE if data[_PREAMBLE - 4 : _PREAMBLE] == b"DICM" else 0
    named = Dataset()
    try:
        meta = read_dataset(
            io.BytesIO(data[start:]), False, True, stop_when=lambda tag, vr, size: tag.group != 2
        )
        named.ReferencedSOPClassUID = UID(meta.MediaStorageSOPClassUID)
        named.ReferencedSOPInstanceUID = UID(meta.MediaStorageSOPInstanceUID)
        uids = named.ReferencedSOPClassUID, named.ReferencedSOPInstanceUID
        whole = all(_UID.fullmatch(uid) and len(uid) <= 64 for uid in uids)
    except Exception:  # pydicom raises nearly anything on damaged files, and quotes them
        whole = False
    if not whole:
        raise _InstanceRefused(_NOT_UNDERSTOOD)
    return named, data


def _is_image(instance: Dataset) -> bool:
    sop_class = instance.ReferencedSOPClassUID
    if sop_class.name == sop_class:
        # An unknown class may be an image, so it must not be acknowledged as if it were none.
        raise _InstanceRefused(_UNKNOWN_CLASS)
    return "Image Storage" in sop_class.name


def _header(data: bytes) -> Dataset:
    """Read the study and the manufacturer of an instance."""
    tags = ["StudyInstanceUID", "Manufacturer"]
    try:
        return dcmread(io.BytesIO(data), stop_before_pixels=True, specific_tags=tags, force=True)
    except Exception:  # pydicom raises nearly anything on damaged files, and quotes them
        raise _InstanceRefused(_NOT_UNDERSTOOD) from None


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
