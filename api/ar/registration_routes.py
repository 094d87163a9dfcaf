"""Registers where a marker stands before a camera: takes its corners or a photograph, and keeps numbers."""

from collections.abc import Mapping
from typing import Annotated, Any, get_type_hints

import numpy as np
from flask import Blueprint, Request, Response, jsonify, request
from werkzeug.exceptions import RequestEntityTooLarge

from api.ar.registration import Seen, camera_of, registration_of
from api.ar.registration_documents import (
    MarkerView,
    RegistrationDocument,
    RegistrationForm,
    RegistrationOrder,
)
from api.ar.scale import number_of
from api.ar.tags import check_detector, find_sheet
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.decode import Pictures
from api.intake.fields import malformed, single_values
from api.openapi.describe import Answer, Size, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED, annotations_of
from api.routes.job_answers import OWN_JOB_PROBLEMS, forget_if_deleted, own_job
from jobs.record.job import Job, now
from jobs.store.ledger import Ledger
from jobs.store.registrations import BY_CAMERA, Registrations

MOST_PIXELS = 12_000_000
_FORM = "multipart/form-data"
_DESCRIPTION = (
    "Send the corners of the marker as JSON, or a photograph of its sheet as a form. The photograph is never"
    " stored: it is gone once its corners are found. The numbers are kept with the job, those sent last"
    " count, and the same again change nothing. `alternative` is the other pose where the corners fit two:"
    " nothing may then be placed by one of them alone. A registration makes no target `actionable`."
)


def registration_routes(ledger: Ledger, pictures: Pictures) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("registration", __name__, url_prefix="/v1/jobs")
    registrations = Registrations(ledger.records, BY_CAMERA)

    @routes.post("/<job_id>/registration")
    @describe(
        "registerMarker",
        "Register where a marker stands before a camera, by its corners or a photograph",
        {200: Answer("Where it stands.", RegistrationDocument)},
        (
            *(*OWN_JOB_PROBLEMS, Slug.REGISTRATION_REFUSED, Slug.MARKER_NOT_FOUND, Slug.MALFORMED),
            *(Slug.REQUEST_ENTITY_TOO_LARGE, Slug.TOO_MANY_PIXELS, Slug.BROKEN_IMAGE),
            *(Slug.UNSUPPORTED_IMAGE, Slug.UNSUPPORTED_MEDIA_TYPE, Slug.TOO_BUSY),
        ),
        description=_DESCRIPTION,
        body={
            "application/json": Annotated[RegistrationOrder, CLOSED],
            _FORM: Annotated[RegistrationForm, CLOSED],
        },
        size=Size.IMAGE,
    )
    def register(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        numbers = _by_photograph(job, pictures) if request.mimetype == _FORM else _by_corners()
        kept = registrations.put(job.id, numbers, now())
        forget_if_deleted(job.id, ledger, registrations.forget)
        return jsonify(_document(job, kept))

    @routes.get("/<job_id>/registration")
    @describe(
        "getRegistration",
        "Get where the marker stood before the camera, as it was registered last",
        {200: Answer("Where it stood.", RegistrationDocument)},
        (*OWN_JOB_PROBLEMS, Slug.NO_SUCH_REGISTRATION),
    )
    def show(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        kept = registrations.of(job.id)
        if kept is None:
            detail = "No marker was registered for this job. Send its corners, or a photograph of its sheet."
            raise Problem(Slug.NO_SUCH_REGISTRATION, detail)
        return jsonify(_document(job, kept))

    return routes


def _by_corners() -> dict[str, Any]:
    given = json_body()
    size = (given["width_px"], given["height_px"]) if {"width_px", "height_px"} <= given.keys() else None
    second = given.get("second_corners_px")
    seen = Seen(
        "corners",
        np.array(given["corners_px"], float),
        None if second is None else np.array(second, float),
    )
    return registration_of(given, camera_of(given, size), seen)


def _by_photograph(job: Job, pictures: Pictures) -> dict[str, Any]:
    check_detector()
    data, given = _form(request)
    tags, marker, second = find_sheet(lambda ids: pictures.april_tags(data, job.client, ids, MOST_PIXELS))
    if len(marker) != 1 or len(second) > 1:
        shows = "does not show the marker" if not marker else "shows more than one sheet"
        detail = f"The photograph {shows}. Photograph one sheet, whole, sharp and without reflections."
        raise Problem(Slug.MARKER_NOT_FOUND, detail)
    seen = Seen("photograph", marker[0], second[0] if second else None)
    return registration_of(given, camera_of(given, (tags.width, tags.height)), seen)


def _form(sent: Request) -> tuple[bytes, dict[str, float]]:
    """Read the photograph and the numbers of a form. Raises Problem: 400, or 413 for too large a body."""
    if "boundary" not in sent.mimetype_params:
        raise malformed("The multipart body names no boundary in its Content-Type.")
    try:
        fields, files = single_values(sent.form), sent.files
    except RequestEntityTooLarge as error:
        raise Problem(
            Slug.REQUEST_ENTITY_TOO_LARGE, "The form has too many bytes. Send the photograph smaller."
        ) from error
    if files.keys() != {"photograph"} or len(files.getlist("photograph")) != 1:
        raise malformed("The form must hold exactly one file, in the field `photograph`.")
    return files["photograph"].read(), _numbers(fields)


def _numbers(fields: Mapping[str, str]) -> dict[str, float]:
    """Read the fields beside a photograph, within the bounds that the description has for them."""
    numbers: dict[str, float] = {}
    kinds = get_type_hints(MarkerView, include_extras=True)
    for name, text in fields.items():
        if name not in kinds:
            raise malformed(
                f"Unknown field: {name[:50]}. Besides `photograph` there are: {', '.join(kinds)}."
            )
        bounds, number = annotations_of(kinds[name]), number_of(text)
        least, most = bounds["minimum"], bounds["maximum"]
        if number is None or not least <= number <= most:
            raise malformed(f"`{name}` is a number from {least:g} to {most:g}.")
        numbers[name] = number
    if "marker_mm" not in numbers:
        raise malformed("`marker_mm` is missing: the side of the black square, as the sheet states it.")
    return numbers


def _document(job: Job, kept: dict[str, Any]) -> RegistrationDocument:
    return {"job": job.id, **kept}  # type: ignore[typeddict-item]
