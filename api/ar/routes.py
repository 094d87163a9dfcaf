"""Serves scenes of radiographs for augmented reality, and the sheet with the marker."""

from typing import Annotated, TypedDict

from flask import Blueprint, Response, g, jsonify, request

from api.ar import marker
from api.ar.scale import LARGEST_ASSUMED, assumed_spacing, number_of, scale_of
from api.ar.scene_files import FORMATS, WRITERS, SceneFiles
from api.ar.scene_links import LINK_LIFETIME, SceneLink, SceneLinks
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.identity.scopes import Scope
from api.openapi.describe import Answer, describe
from api.results.formats import accepted_format
from api.routes.job_answers import OWN_JOB_PROBLEMS, succeeded_job
from jobs.record.documents import MOMENT
from jobs.record.job import moment_text, now

_OF_A_SCENE = (
    *(*OWN_JOB_PROBLEMS, Slug.NOT_READY, Slug.JOB_FAILED, Slug.SCALE_UNKNOWN),
    Slug.MALFORMED,
)
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


class SceneLinkDocument(TypedDict):
    """A link to the page of a scene."""

    url: Annotated[str, {"format": "uri-reference"}, "It is a secret: it suffices to see this scene."]
    expires_at: Annotated[str, MOMENT]


class MarkerQuery(TypedDict, total=False):
    """The query of a request for a marker."""

    size_mm: Annotated[
        float,
        {"minimum": marker.SMALLEST_MM, "maximum": marker.LARGEST_MM, "default": marker.USUAL_MM},
        "The side of the black square, in millimetres.",
    ]


def ar_routes(scene_files: SceneFiles, links: SceneLinks, public_url: str) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("ar", __name__, url_prefix="/v1")
    ledger = scene_files.ledger

    @routes.get("/jobs/<job_id>/ar")
    @describe(
        "getScene",
        "Get the radiograph with its regions as a scene for augmented reality, true to scale",
        {200: Answer("The scene.", FORMATS, ("Vary",))},
        (*_OF_A_SCENE, Slug.NOT_ACCEPTABLE, Slug.OBJECT_MISSING, Slug.TOO_BUSY),
        query=SceneQuery,
        description=_DESCRIPTION,
    )
    def scene(job_id: str) -> Response:
        job = succeeded_job(job_id, ledger)
        accepted = accepted_format(WRITERS)
        response = scene_files.answer(job, assumed_spacing(request.args.get("assume_mm")), accepted)
        response.vary.add("Accept")
        return response

    @routes.post("/jobs/<job_id>/ar/link")
    @describe(
        "makeSceneLink",
        "Make a link to the page of a scene, for 15 minutes",
        {200: Answer("The link.", SceneLinkDocument)},
        _OF_A_SCENE,
        query=SceneQuery,
        description="For headsets and phones, on which people type no key. The link opens the page, the files"
        " and the targets of this one job, and ends with the key that made it.",
        scope=Scope.READ,
    )
    def scene_link(job_id: str) -> Response:
        job = succeeded_job(job_id, ledger)
        assumed = assumed_spacing(request.args.get("assume_mm"))
        scale_of(job, assumed)  # Raises here what the page could only say later.
        link = SceneLink(job.id, g.caller.key.id, assumed, (now() + LINK_LIFETIME).replace(microsecond=0))
        url = f"{public_url}/ar/{job.id}?t={links.token(link)}"
        return jsonify(SceneLinkDocument(url=url, expires_at=moment_text(link.expires_at)))

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
