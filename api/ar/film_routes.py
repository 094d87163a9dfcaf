"""Registers where a sheet with lead tags lay in a radiograph: finds the tags, and keeps numbers."""

from typing import Annotated, Any

import numpy as np
from flask import Blueprint, Response, jsonify

from api.ar.film_registration import composed, film_registration_of
from api.ar.registration import refused
from api.ar.registration_documents import FilmRegistrationDocument, FilmRegistrationOrder
from api.ar.tags import check_detector, find_sheet
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.decode import Pictures
from api.intake.fields import malformed
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from api.routes.job_answers import OWN_JOB_PROBLEMS, forget_if_deleted, own_job, read_stored
from jobs.geometry.camera import Camera
from jobs.geometry.homography import Matrix
from jobs.record.job import Job, now
from jobs.store.ledger import Ledger
from jobs.store.registrations import BY_CAMERA, BY_FILM, Registrations
from jobs.targets.events import announce_registration
from jobs.targets.view import view_of

_DESCRIPTION = (
    "The sheet is the marker sheet with both tags in lead, on the patient while the radiograph is taken. The"
    " service finds the tags in the radiograph, unless the corners are sent. The numbers are kept with the"
    " job, those sent last count, and the same again change nothing. The targets then have the frame"
    " `patient`, and a client that has chosen their event gets it again. A registration makes no target"
    " `actionable`."
)


def film_routes(ledger: Ledger, pictures: Pictures) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("film", __name__, url_prefix="/v1/jobs")
    films, cameras = (Registrations(ledger.records, kind) for kind in (BY_FILM, BY_CAMERA))

    def document(job: Job, kept: dict[str, Any], camera: Camera) -> FilmRegistrationDocument:
        before_camera = composed(kept, cameras.of(job.id), camera)
        return {"job": job.id, **kept, "camera_from_source": before_camera}  # type: ignore[typeddict-item]

    @routes.post("/<job_id>/film")
    @describe(
        "registerFilm",
        "Register where a sheet with lead tags lay in the radiograph: the frame `patient` of its targets",
        {200: Answer("Where it lay.", FilmRegistrationDocument)},
        (
            *(*OWN_JOB_PROBLEMS, Slug.REGISTRATION_REFUSED, Slug.MARKER_NOT_FOUND, Slug.MALFORMED),
            *(Slug.REQUEST_ENTITY_TOO_LARGE, Slug.TOO_MANY_PIXELS, Slug.BROKEN_IMAGE, Slug.OBJECT_MISSING),
            *(Slug.UNSUPPORTED_IMAGE, Slug.UNSUPPORTED_MEDIA_TYPE, Slug.TOO_BUSY),
        ),
        description=_DESCRIPTION,
        body=Annotated[FilmRegistrationOrder, CLOSED],
    )
    def register(job_id: str) -> Response:
        job, given = own_job(job_id, ledger), json_body()
        camera = _camera_of(job)
        named = given.keys() & {"corners_px", "second_corners_px"}
        if len(named) == 1:
            raise malformed("Send `corners_px` and `second_corners_px` together, or neither.")
        if named:
            corners = (np.array(given["corners_px"], float), np.array(given["second_corners_px"], float))
        else:
            corners = _found(job, ledger, pictures)
        source = "corners" if named else "radiograph"
        kept = films.put(job.id, film_registration_of(given, camera, source, *corners), now())
        forget_if_deleted(job.id, ledger, films.forget)
        announce_registration(job, kept, ledger)
        return jsonify(document(job, kept, camera))

    @routes.get("/<job_id>/film")
    @describe(
        "getFilmRegistration",
        "Get where the sheet with lead tags lay in the radiograph, as it was registered last",
        {200: Answer("Where it lay.", FilmRegistrationDocument)},
        (*OWN_JOB_PROBLEMS, Slug.NO_SUCH_REGISTRATION),
    )
    def show(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        kept = films.of(job.id)
        if kept is None:
            detail = "No sheet was registered in this radiograph. Send its size by POST."
            raise Problem(Slug.NO_SUCH_REGISTRATION, detail)
        return jsonify(document(job, kept, _camera_of(job)))

    return routes


def _camera_of(job: Job) -> Camera:
    view, missing = view_of(job)
    if view is None:
        detail = "The geometry of the radiograph is not known: " + ", ".join(missing)
        raise refused(f"{detail}. Send DICOM that says it.", blocking_reasons=list(missing))
    return view.camera


def _found(job: Job, ledger: Ledger, pictures: Pictures) -> tuple[Matrix, Matrix]:
    """Return the corners of both tags. Raises Problem: 422 where the radiograph does not show each once."""
    check_detector()
    data = read_stored(ledger.image, job, ledger)
    _, marker, second = find_sheet(lambda ids: pictures.lead_tags(data, job.client, ids))
    if len(marker) == len(second) == 1:
        return marker[0], second[0]
    seen = f"{len(marker)} of the marker and {len(second)} of the second tag"
    detail = f"The radiograph shows {seen}, where it has to show one of each, whole and within the field."
    raise Problem(Slug.MARKER_NOT_FOUND, detail)
