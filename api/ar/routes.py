"""Serves scenes of radiographs for augmented reality, and the sheet with the marker."""

from typing import Annotated, TypedDict

from flask import Blueprint, Response, request

from api.ar import glb, marker, obj, usdz
from api.ar.facts import facts_of
from api.ar.scale import LARGEST_ASSUMED, assumed_spacing, number_of, scale_of
from api.ar.scene import scene_of
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.decode import Pictures
from api.openapi.describe import Answer, describe
from api.results.formats import accepted_format
from api.results.overlay import outlines_of, overlay_of
from api.routes.job_answers import OWN_JOB_PROBLEMS, read_stored, succeeded_job, targets_now
from jobs.record.job import Job
from jobs.store.ledger import Ledger

_WRITERS = {
    glb.MEDIA_TYPE: (glb.glb_of, glb.MEDIA_TYPE, "glb"),
    usdz.MEDIA_TYPE: (usdz.usdz_of, usdz.MEDIA_TYPE, "usdz"),
    obj.MEDIA_TYPE: (obj.obj_of, obj.MEDIA_TYPE, "zip"),
    obj.OBJ: (obj.obj_of, obj.MEDIA_TYPE, "zip"),
}
"""The writer, media type and suffix of a file by what the client accepts."""
_FORMATS = {
    glb.MEDIA_TYPE: Annotated[bytes, "glTF 2.0; `asset.extras.osteo` says scale, state and digests."],
    usdz.MEDIA_TYPE: Annotated[bytes, "USD for Apple's Quick Look; `customLayerData` says the same."],
    obj.MEDIA_TYPE: Annotated[bytes, "Wavefront OBJ with its pictures; `scene.json` says the same."],
}
_DESCRIPTION = (
    "The Accept header selects the format; `model/obj` gets the zip. The unit is the metre. The scene has"
    " the overlay as a plane of its true size, frames around the regions 1 mm in front, and a ruler of 50 mm"
    " that says in which plane lengths hold and how wrong they may be. Not for diagnosis, and not for"
    " guiding a hand or a machine."
)


class SceneQuery(TypedDict, total=False):
    """The query of a request for a scene."""

    assume_mm: Annotated[
        float,
        {"exclusiveMinimum": 0, "exclusiveMaximum": LARGEST_ASSUMED},
        "Millimetres between pixels, for an image that names none. The file says that they were assumed.",
    ]


class MarkerQuery(TypedDict, total=False):
    """The query of a request for a marker."""

    size_mm: Annotated[
        float,
        {"minimum": marker.SMALLEST_MM, "maximum": marker.LARGEST_MM, "default": marker.USUAL_MM},
        "The side of the black square, in millimetres.",
    ]


def ar_routes(ledger: Ledger, pictures: Pictures, target_seconds: int) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("ar", __name__, url_prefix="/v1")

    def draw(job: Job) -> bytes:
        return overlay_of(job, ledger.image(job), pictures)

    @routes.get("/jobs/<job_id>/ar")
    @describe(
        "getScene",
        "Get the radiograph with its regions as a scene for augmented reality, true to scale",
        {200: Answer("The scene.", _FORMATS, ("Vary",))},
        (
            *(*OWN_JOB_PROBLEMS, Slug.NOT_READY, Slug.JOB_FAILED, Slug.SCALE_UNKNOWN),
            *(Slug.MALFORMED, Slug.NOT_ACCEPTABLE, Slug.OBJECT_MISSING, Slug.TOO_BUSY),
        ),
        query=SceneQuery,
        description=_DESCRIPTION,
    )
    def scene(job_id: str) -> Response:
        job = succeeded_job(job_id, ledger)
        write, media_type, suffix = _WRITERS[accepted_format(_WRITERS)]
        scale = scale_of(job, assumed_spacing(request.args.get("assume_mm")))
        facts = facts_of(job, scale, targets_now(job, ledger, target_seconds))
        overlay = read_stored(draw, job, ledger)
        body = write(scene_of(job, scale, overlay, outlines_of(job).regions, facts))
        name = f'inline; filename="{job.id}.{suffix}"'
        response = Response(body, content_type=media_type, headers={"Content-Disposition": name})
        response.vary.add("Accept")
        return response

    @routes.get("/ar/marker.pdf")
    @describe(
        "getMarker",
        "Get a sheet with a marker to print: an AprilTag of stated size, and a ruler to check the print",
        {200: Answer("The sheet, of A4.", {marker.MEDIA_TYPE: bytes})},
        (Slug.MALFORMED,),
        query=MarkerQuery,
    )
    def marker_pdf() -> Response:
        sheet = marker.marker_sheet(_size_mm(request.args.get("size_mm")))
        name = {"Content-Disposition": 'inline; filename="marker.pdf"'}
        return Response(sheet, content_type=marker.MEDIA_TYPE, headers=name)

    return routes


def _size_mm(text: str | None) -> float:
    if text is None:
        return marker.USUAL_MM
    size = number_of(text)
    if size is None or not marker.SMALLEST_MM <= size <= marker.LARGEST_MM:
        bounds = f"from {marker.SMALLEST_MM} to {marker.LARGEST_MM}"
        raise Problem(Slug.MALFORMED, f"size_mm is the side of the marker in millimetres, {bounds}.")
    return size
