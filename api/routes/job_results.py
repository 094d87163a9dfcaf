"""Serves what a job has beside its record: the result in each format, the overlay and the image."""

from collections.abc import Iterator
from functools import partial
from itertools import chain

from flask import Blueprint, Response

from api.http.media_types import MEDIA_TYPE
from api.http.problem_kinds import Slug
from api.intake.decode import Pictures
from api.openapi.describe import Answer, describe
from api.results.formats import RESULT_FORMATS, ResultQuery, result_answer
from api.results.overlay import overlay_of
from api.routes.job_answers import OWN_JOB_PROBLEMS, own_job, read_stored, succeeded_job
from jobs.record.job import Job
from jobs.store.ledger import Ledger

_ENDED_PROBLEMS = (*OWN_JOB_PROBLEMS, Slug.NOT_READY, Slug.JOB_FAILED)
"""The problems of every route that needs a job that has succeeded."""


def result_routes(ledger: Ledger, pictures: Pictures, public_url: str) -> Blueprint:
    """Make the blueprint of these routes."""
    routes = Blueprint("results", __name__, url_prefix="/v1/jobs")

    def draw(job: Job) -> bytes:
        return overlay_of(job, ledger.image(job), pictures)

    @routes.get("/<job_id>/result")
    @describe(
        "getResult",
        "Get the result, as JSON, FHIR or DICOM",
        {200: Answer("The result.", RESULT_FORMATS, ("Vary",))},
        (*_ENDED_PROBLEMS, Slug.MALFORMED, Slug.NOT_ACCEPTABLE, Slug.OBJECT_MISSING, Slug.TOO_BUSY),
        query=ResultQuery,
        description="The Accept header selects the format. DICOM is available for a DICOM image of a study.",
    )
    def result(job_id: str) -> Response:
        job = succeeded_job(job_id, ledger)
        image, overlay = (partial(read_stored, read, job, ledger) for read in (ledger.image, draw))
        return result_answer(job, public_url, MEDIA_TYPE[job.image.format], image, overlay)

    @routes.get("/<job_id>/heatmap")
    @describe(
        "getHeatmap",
        "Get the overlay: the radiograph with outlines around the regions",
        {200: Answer("The overlay as PNG.", {"image/png": bytes})},
        (*_ENDED_PROBLEMS, Slug.OBJECT_MISSING, Slug.TOO_BUSY),
        description="An outline is solid where the score reaches the upper operating point, dashed between"
        " both points. A region below the lower one has none. Nothing is painted inside an outline.",
    )
    def heatmap(job_id: str) -> Response:
        job = succeeded_job(job_id, ledger)
        drawn = read_stored(draw, job, ledger)
        return _file(drawn, "image/png", f"{job.id}-overlay.png")

    @routes.get("/<job_id>/image")
    @describe(
        "getImage",
        "Get the radiograph as it was submitted",
        {200: Answer("The image.", dict.fromkeys(MEDIA_TYPE.values(), bytes))},
        (*OWN_JOB_PROBLEMS, Slug.OBJECT_MISSING),
    )
    def image(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        suffix = job.image.format.lower()
        pieces = ledger.image_in_pieces(job)
        first = read_stored(lambda _: next(pieces), job, ledger)
        answer = _file(chain((first,), pieces), MEDIA_TYPE[job.image.format], f"{job.id}.{suffix}")
        answer.content_length = job.image.size
        return answer

    return routes


def _file(data: bytes | Iterator[bytes], media_type: str, name: str) -> Response:
    return Response(
        data, content_type=media_type, headers={"Content-Disposition": f'inline; filename="{name}"'}
    )
