"""Serves /v1/uploads: a signed URL by which a client puts a large image into the object store."""

from contextlib import suppress
from typing import Annotated, Literal, TypedDict

from flask import Blueprint, Response, g, jsonify

from api.http.media_types import MEDIA_TYPE
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.accept import Intake
from api.intake.submission import too_large, upload_differs
from api.openapi.describe import Answer, describe
from api.openapi.json_body import json_body
from api.openapi.schema import CLOSED
from jobs.record.documents import MOMENT
from jobs.record.errors import NotStored
from jobs.record.job import moment_text, now
from jobs.store.ledger import Ledger
from jobs.store.uploads import Uploads


class UploadOrder(TypedDict):
    """The image that is going to be uploaded."""

    size: Annotated[int, {"minimum": 1}, "In bytes."]
    content_type: Annotated[str, {"enum": list(MEDIA_TYPE.values())}]


class UploadDocument(TypedDict):
    """The URL for the image, which must have exactly the size and type that were ordered."""

    id: Annotated[str, "The `upload_id` to submit the job with, once the upload is complete."]
    url: Annotated[str, {"format": "uri"}, "In the object store. It is a secret: it suffices to upload."]
    method: Literal["PUT"]
    headers: Annotated[
        dict[str, str],
        "To be sent with the image. Another size or type is refused, at the latest when it is submitted.",
    ]
    expires_at: Annotated[str, MOMENT, "The upload must begin before this time."]


def upload_routes(intake: Intake, uploads: Uploads) -> Blueprint:
    """Make the blueprint of this route."""
    routes = Blueprint("uploads", __name__, url_prefix="/v1/uploads")

    @routes.post("")
    @describe(
        "createUpload",
        "Get a URL to upload a large image to",
        {201: Answer("The URL, and the headers to send.", UploadDocument, ("RateLimit-Policy", "RateLimit"))},
        (Slug.IMAGE_TOO_LARGE, Slug.QUOTA_EXCEEDED, Slug.TOO_MANY_WAITING, Slug.QUEUE_FULL),
        description="The request counts as a submission. Put the image to the URL, without the API key, and"
        " submit it by its id. An image that is not submitted is erased about an hour after the URL expires.",
        body=Annotated[UploadOrder, CLOSED],
    )
    def create() -> Response:
        g.headers = intake.admit(g.caller)
        order = json_body()
        size, content_type = int(order["size"]), order["content_type"]
        if size > intake.settings.max_bytes:
            raise too_large(intake.settings.max_bytes)
        upload = uploads.open(g.caller.client, size, content_type)
        response = jsonify(
            id=upload.id,
            url=upload.url,
            method="PUT",
            headers=upload.headers,
            expires_at=moment_text(upload.expires_at),
        )
        response.status_code = 201
        return response

    return routes


def uploaded_image(
    upload_id: str, claim_key: str | None, uploads: Uploads, intake: Intake
) -> tuple[bytes, str | None]:
    """Read the image that the client has uploaded under this id, and the type that the client ordered.

    The type is not checked yet. A submission that is sent again, whose job has the claim at `claim_key`, gets
    the radiograph of that job and no type, because the upload was erased. Raises Problem: 404, 413 for an
    image that is too large, 422 for another size than was ordered.
    """
    with suppress(NotStored):
        order, size = uploads.order(g.caller.client, upload_id), uploads.size(g.caller.client, upload_id)
        if (size or 0) > intake.settings.max_bytes:
            raise too_large(intake.settings.max_bytes)
        if size is not None and size != order.size:
            raise upload_differs(f"The upload has {size} bytes; {order.size} were ordered.")
        return uploads.read(g.caller.client, upload_id), order.content_type
    with suppress(NotStored):
        return _submitted_before(upload_id, claim_key, intake.ledger), None
    detail = (
        "There is no such upload of this client: it was submitted before, never arrived, or has expired."
        " Upload the image again."
    )
    raise Problem(Slug.NO_SUCH_UPLOAD, detail)


def _submitted_before(upload_id: str, claim_key: str | None, ledger: Ledger) -> bytes:
    claim = ledger.claims.read(claim_key) if claim_key else None
    if claim is None or claim.over(now()):
        raise NotStored(upload_id)
    job = ledger.read(claim.job_id)
    if job.upload != upload_id:
        raise NotStored(upload_id)
    return ledger.image(job)
