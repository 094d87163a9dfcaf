"""Serves the pixels of a job's radiograph to viewers that window them."""

from functools import partial
from typing import Annotated

from flask import Blueprint, Response

from api.http.problem import ProblemDocument
from api.http.problem_kinds import Slug
from api.openapi.describe import Answer, describe
from api.results.pixels import MEDIA_TYPE, PixelAnswers
from api.routes.job_answers import OWN_JOB_PROBLEMS, own_job, read_stored
from jobs.store.ledger import Ledger

_BODY = {MEDIA_TYPE: Annotated[bytes, "Rows x columns of uint16, little-endian."]}
_DESCRIPTION = (
    "The header `Osteo-Pixels` is JSON: `rows`, `columns`, `bits`, `min`, `max`, `photometric`, `window`"
    " (center and width of DICOM's linear function, or null), `voi`, `spacing_mm` (between rows, and"
    " between columns), `spacing_plane`, `orientation` and `laterality`. `min`, `max` and `window` are in"
    " numbers of the body. The source's value after its rescale is `number * step + offset`; `step` is"
    " given if it is not 1, `offset` if it is not 0."
)
_HEADERS = ("Osteo-Pixels", "ETag", "Accept-Ranges", "Vary")


def pixel_routes(ledger: Ledger, answers: PixelAnswers) -> Blueprint:
    """Make the blueprint of this route."""
    routes = Blueprint("pixels", __name__, url_prefix="/v1/jobs")

    @routes.get("/<job_id>/pixels")
    @describe(
        "getPixels",
        "Get the pixels of the radiograph, of up to 16 bits, before any window",
        {
            200: Answer("All pixels.", _BODY, (*_HEADERS, "Content-Encoding")),
            206: Answer("The bytes that `Range` names.", _BODY, (*_HEADERS, "Content-Range")),
            304: Answer("The client has them."),
            416: Answer(
                "The `Range` names none of the bytes.", {"application/problem+json": ProblemDocument}
            ),
        },
        (*OWN_JOB_PROBLEMS, Slug.OBJECT_MISSING, Slug.TOO_BUSY),
        headers=("Accept-Encoding", "If-None-Match", "If-Range", "Range"),
        description=_DESCRIPTION,
    )
    def pixels(job_id: str) -> Response:
        job = own_job(job_id, ledger)
        return answers.answer(job, partial(read_stored, ledger.image, job, ledger))

    return routes
