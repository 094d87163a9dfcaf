"""Answers with the file of a scene, for the route of the API and for the page."""

from dataclasses import dataclass
from typing import Annotated

from flask import Response

from api.ar import glb, obj, usdz
from api.ar.facts import facts_of
from api.ar.scale import scale_of
from api.ar.scene import scene_of
from api.intake.decode import Pictures
from api.results.overlay import outlines_of, overlay_of
from api.routes.job_answers import read_stored, targets_now
from jobs.record.job import Job
from jobs.store.ledger import Ledger

WRITERS = {
    glb.MEDIA_TYPE: (glb.glb_of, glb.MEDIA_TYPE, "glb"),
    usdz.MEDIA_TYPE: (usdz.usdz_of, usdz.MEDIA_TYPE, "usdz"),
    obj.MEDIA_TYPE: (obj.obj_of, obj.MEDIA_TYPE, "zip"),
    obj.OBJ: (obj.obj_of, obj.MEDIA_TYPE, "zip"),
}
"""The writer, media type and suffix of a file by what the client accepts."""
FORMATS = {
    glb.MEDIA_TYPE: Annotated[bytes, "glTF 2.0; `asset.extras.osteo` says scale, state and digests."],
    usdz.MEDIA_TYPE: Annotated[bytes, "USD for Apple's Quick Look; `customLayerData` says the same."],
    obj.MEDIA_TYPE: Annotated[bytes, "Wavefront OBJ with its pictures; `scene.json` says the same."],
}


@dataclass(frozen=True)
class SceneFiles:
    """The files of the scenes of the caller's jobs. `target_seconds` is the validity of targets."""

    ledger: Ledger
    pictures: Pictures
    target_seconds: int

    def answer(self, job: Job, assumed: float | None, accepted: str) -> Response:
        """Answer with the scene of a succeeded job, in the format of WRITERS that is `accepted`.

        `assumed` is millimetres between pixels, for an image without a spacing. Raises Problem as scale_of,
        targets_now and read_stored do.
        """
        write, media_type, suffix = WRITERS[accepted]
        scale = scale_of(job, assumed)
        facts = facts_of(job, scale, targets_now(job, self.ledger, self.target_seconds))
        overlay = read_stored(self._draw, job, self.ledger)
        body = write(scene_of(job, scale, overlay, outlines_of(job).regions, facts))
        name = f'inline; filename="{job.id}.{suffix}"'
        return Response(body, content_type=media_type, headers={"Content-Disposition": name})

    def _draw(self, job: Job) -> bytes:
        return overlay_of(job, self.ledger.image(job), self.pictures)
