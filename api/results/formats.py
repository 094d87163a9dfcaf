"""Answers `GET /v1/jobs/{id}/result` in the format that the Accept header of the request selects."""

import json
from collections.abc import Callable, Collection
from importlib.util import find_spec
from typing import Annotated, Any, Literal, TypedDict
from uuid import uuid4

from flask import Response, jsonify, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.results import dicom_report, fhir
from api.results.fhir_parts import MEDIA_TYPE as FHIR
from api.results.filing import NotFileable
from jobs.record.documents import Result, document
from jobs.record.job import Job


class FhirBundle(TypedDict):
    """A FHIR R4 Bundle: DiagnosticReport, Observations, Device, Media."""

    resourceType: Literal["Bundle"]
    type: str
    entry: list[dict[str, Any]]


class ResultQuery(TypedDict, total=False):
    """The query of a request for a result."""

    bundle: Annotated[
        Literal["collection", "transaction"],
        "The type of a FHIR Bundle. A FHIR server accepts a `transaction`; sent again, it changes nothing.",
    ]


_BUNDLE_TYPES = ("collection", "transaction")
JSON = "application/json"
DICOM = "application/dicom"
RELATED = 'multipart/related; type="application/dicom"'
_FORMATS = (JSON, FHIR, DICOM, RELATED)
RESULT_FORMATS = {
    JSON: Result,
    FHIR: FhirBundle,
    DICOM: Annotated[bytes, "A structured report (TID 1500)."],
    "multipart/related": Annotated[bytes, "The structured report, and the overlay as Secondary Capture."],
}


def result_answer(
    job: Job, public_url: str, media_type: str, image: Callable[[], bytes], overlay: Callable[[], bytes]
) -> Response:
    """Answer with the result of a job. `image` and `overlay` read its files, `media_type` is the image's.

    Raises Problem 406 for another format, and for DICOM where the image is not DICOM or names no study.
    """
    wanted = accepted_format(_FORMATS)
    if wanted == FHIR:
        links = document(job, public_url)["links"]
        transaction = bundle_type() == "transaction"
        body = json.dumps(fhir.bundle(job, links, media_type, public_url, transaction))
        response = Response(body, content_type=f"{FHIR}; fhirVersion=4.0")
    elif wanted == JSON:
        response = jsonify(job.result)
    else:
        response = _dicom(job, wanted, image, overlay)
    response.vary.add("Accept")
    return response


def _dicom(job: Job, wanted: str, image: Callable[[], bytes], overlay: Callable[[], bytes]) -> Response:
    if job.image.format != "DICOM":
        detail = (
            f"The image was a {job.image.format} file. A DICOM report needs a DICOM image, for its study."
        )
        raise Problem(Slug.NOT_ACCEPTABLE, detail)
    if find_spec("highdicom") is None:
        raise Problem(Slug.NOT_ACCEPTABLE, "This service runs without highdicom, and writes no DICOM.")
    source = image()
    try:
        report = dicom_report.report(job, source)
        if wanted == DICOM:
            name = f'attachment; filename="{job.id}.dcm"'
            return Response(report, content_type=DICOM, headers={"Content-Disposition": name})
        parts = (report, dicom_report.overlay(job, source, overlay()))
    except NotFileable as error:
        raise Problem(Slug.NOT_ACCEPTABLE, f"{error} Ask for the result as JSON or FHIR.") from error
    boundary = uuid4().hex
    head = f"--{boundary}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    body = b"".join(head + part + b"\r\n" for part in parts) + f"--{boundary}--\r\n".encode()
    return Response(body, content_type=f"{RELATED}; boundary={boundary}")


def bundle_type() -> str:
    """Return the type of Bundle that the query asks for. Raises Problem 400 for another."""
    wanted = request.args.get("bundle", "collection")
    if wanted not in _BUNDLE_TYPES:
        raise Problem(Slug.MALFORMED, f"bundle is one of: {', '.join(_BUNDLE_TYPES)}.")
    return wanted


def accepted_format(formats: Collection[str]) -> str:
    """Return the first of these formats that the client accepts; their first for a client that names none.

    Raises Problem 406 for another format.
    """
    default = next(iter(formats))
    # Werkzeug sorts by how specific an entry is, and by quality after that.
    preferred = sorted(request.accept_mimetypes, key=lambda entry: -entry[1])
    ranges = [accepted for accepted, quality in preferred if quality > 0]
    for accepted in ranges:
        kind, _, parameters = accepted.lower().partition(";")
        if kind == "multipart/related" and parameters.partition("type=")[2].strip('"').startswith(DICOM):
            kind = RELATED
        if kind in formats:
            return kind
        if kind in ("*/*", f"{default.partition('/')[0]}/*"):
            return default
    if not ranges:
        return default
    raise Problem(Slug.NOT_ACCEPTABLE, f"This is available as one of: {'; or '.join(formats)}.")
