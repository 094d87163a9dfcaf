"""Answers with the pixels of a job's radiograph, before any window, and with its preview.

Both are decoded when they are asked for, in the decode processes, and are not stored.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from flask import Response, request
from werkzeug.exceptions import RequestedRangeNotSatisfiable

from api.http.problem import RETRY_SECONDS, Problem
from api.http.problem_kinds import Slug
from api.http.slots import Slots
from api.intake.decode import Pictures
from jobs.record.job import Job
from model.decode_processes.coding import CODINGS

MEDIA_TYPE = "application/octet-stream"
AT_ONCE, AT_ONCE_OF_ONE = 6, 4
"""Answers that one process makes at the same time, and those for one client: 24 MB each are usual."""
_FORM = "2"
"""Goes into the ETag. To be raised where the same file becomes another body or header."""
_PLANES = {"calibrated": "patient", "detector": "detector"}


@dataclass(frozen=True)
class PixelAnswers:
    """Makes the answers with pixels. Every method raises Problem as Pictures does."""

    pictures: Pictures
    slots: Slots = field(default_factory=lambda: Slots(AT_ONCE, AT_ONCE_OF_ONE))

    def answer(self, job: Job, image: Callable[[], bytes]) -> Response:
        """Answer the current request with rows x columns of uint16, little-endian.

        `image` reads the radiograph as it was submitted, and is not called where the client has the answer.
        A request with `Range` is answered without a coding. Raises Problem 503 while too many are made.
        """
        ranged = "Range" in request.headers
        coding = None if ranged else _coding()
        tag = f"{job.image.sha256[:32]}-{_FORM}"
        if request.if_none_match and any(
            request.if_none_match.contains_weak(f"{tag}{ending}")
            for ending in ("", *(f"-{known}" for known in CODINGS))
        ):
            response = Response(status=304)
        else:
            response = self._whole(job, image, coding)
        response.set_etag(f"{tag}-{coding}" if coding else tag)
        response.vary.add("Accept-Encoding")
        if response.status_code == 200 and not coding:
            try:
                response.make_conditional(request, True, response.content_length)
            except RequestedRangeNotSatisfiable:
                response.close()
                raise
        return response

    def _whole(self, job: Job, image: Callable[[], bytes], coding: str | None) -> Response:
        if not self.slots.take(job.client):
            detail = "Too many pictures are being sent at this moment. Send the request again later."
            raise Problem(Slug.TOO_BUSY, detail, retry_after=RETRY_SECONDS)
        try:
            facts, body = self.pictures.values(image(), job.client, coding)
        except BaseException:
            self.slots.give(job.client)
            raise
        response = Response(body, content_type=MEDIA_TYPE)
        response.call_on_close(partial(self.slots.give, job.client))
        response.headers["Osteo-Pixels"] = json.dumps(_described(facts))
        if coding:
            response.content_encoding = coding
        return response


def preview_of(job: Job, image: bytes, pictures: Pictures) -> bytes:
    """Draw the radiograph as JPEG of at most 1024 pixels a side, through its default window."""
    return pictures.preview(image, job.client)


def _coding() -> str | None:
    """Return the quickest coding that the current request names, or none."""
    named = {name for name, quality in request.accept_encodings if quality > 0}
    return next((coding for coding in CODINGS if coding in named), None)


def _described(facts: dict[str, Any]) -> dict[str, Any]:
    """Add to the facts of the pixels what the header of the source says of them; null where it does not."""
    acquisition = facts.pop("acquisition")
    orientation, side = acquisition.get("orientation"), acquisition.get("laterality")
    return facts | {
        "spacing_mm": acquisition.get("pixel_spacing"),
        "spacing_plane": _PLANES.get(acquisition.get("spacing_plane")),
        "orientation": "\\".join(orientation) if orientation else None,
        "laterality": side if side in ("L", "R") else None,
    }
