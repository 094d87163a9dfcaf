"""Answers `GET /v1/readings/{id}` as FHIR or DICOM, where the Accept header of the request selects it."""

import json
from importlib.util import find_spec
from typing import Annotated

from flask import Response

from api.http.media_types import MEDIA_TYPE
from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.readings import fhir
from api.readings.access import no_such_reading
from api.readings.actions import ReadingActions
from api.readings.dicom_report import signed_report
from api.results.fhir_parts import MEDIA_TYPE as FHIR
from api.results.filing import NotFileable
from api.results.formats import DICOM, JSON, FhirBundle, bundle_type
from jobs.reading.documents import ReadingDocument
from jobs.reading.reader import Reader
from jobs.reading.reading import Reading
from jobs.record.documents import document
from jobs.record.errors import NotStored
from jobs.record.job import Job

READING_FORMATS = {
    JSON: ReadingDocument,
    FHIR: FhirBundle,
    DICOM: Annotated[bytes, "The signed report as a structured report (TID 1500), verified."],
}


def reading_in_format(
    wanted: str, reading: Reading, reader: Reader | None, actions: ReadingActions, public_url: str
) -> Response:
    """Answer with a reading as FHIR or DICOM. `reader`: who asks; None where its client does.

    Raises Problem: 406 for DICOM where the image is not DICOM or names no study, 409 for DICOM before the
    signature, 403 for the DICOM of a report that is hidden from the reader.
    """
    try:
        job = actions.ledger.current(reading.job)
    except NotStored as error:
        raise no_such_reading() from error
    hidden = reader is not None and actions.answer_hidden(job.id, reader)
    own = reader is not None and reading.reader == reader.id
    seen = fhir.Seen(answer=not hidden, report=not hidden or own)
    if wanted == DICOM:
        return _dicom(reading, job, seen, actions, public_url)
    if reader and seen.answer and job.result:
        actions.note_seen(job, reader)
    links, media_type = document(job, public_url)["links"], MEDIA_TYPE[job.image.format]
    made = fhir.bundle(reading, job, links, media_type, public_url, seen, bundle_type() == "transaction")
    return Response(json.dumps(made), content_type=f"{FHIR}; fhirVersion=4.0")


def _dicom(reading: Reading, job: Job, seen: fhir.Seen, actions: ReadingActions, public_url: str) -> Response:
    if not reading.reports:
        raise Problem(Slug.READING_MOVED, f"The reading is {reading.state}: there is no signed report yet.")
    if not seen.report:
        raise Problem(Slug.ANSWER_HIDDEN, "Commit a finding first: this report would show the answer.")
    if job.image.format != "DICOM":
        detail = (
            f"The image was a {job.image.format} file. A DICOM report needs a DICOM image, for its study."
        )
        raise Problem(Slug.NOT_ACCEPTABLE, detail)
    if find_spec("highdicom") is None:
        raise Problem(Slug.NOT_ACCEPTABLE, "This service runs without highdicom, and writes no DICOM.")
    try:
        made = signed_report(reading, job, actions.ledger.image(job), public_url)
    except NotStored as error:
        detail = "This file is missing from the object store. Tell the operator the id of the job."
        raise Problem(Slug.OBJECT_MISSING, detail) from error
    except NotFileable as error:
        raise Problem(Slug.NOT_ACCEPTABLE, f"{error} Ask for the reading as JSON or FHIR.") from error
    name = f'attachment; filename="{reading.id}.dcm"'
    return Response(made, content_type=DICOM, headers={"Content-Disposition": name})
