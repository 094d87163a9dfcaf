"""Keeps how a reader has calibrated a radiograph: by an object of known size, such as a ball, marked in it.

A calibration is an annotation of its reader, and no other reader measures by it. It lies with the job, in
jobs/<job id>/calibrations/<reader id>/, and is erased with it.
"""

import json
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any, Self

from flask import Blueprint, Response, g, jsonify, request

from api.http.problem import Problem
from api.http.problem_kinds import Slug
from api.intake.body_limits import takes_form
from api.reading_room import words
from api.reading_room.parts import Room
from jobs.reading.measurement import MOST_MM, calibrated_spacing, checked_calibration
from jobs.reading.measurement import Calibration as ObjectOfScale
from jobs.reading.reader import Reader
from jobs.record.job import Job, moment_text, now
from jobs.store.records import Records

Point = tuple[float, float]


@dataclass(frozen=True)
class Calibration:
    """An object of `mm` millimetres, whose `ends` a reader has marked in pixels of the submitted image."""

    mm: float
    ends: tuple[Point, Point]
    at: str
    reader: str
    reader_name: str

    @classmethod
    def of_json(cls, record: bytes) -> Self:
        """Read a record that `to_json` wrote."""
        values = json.loads(record)
        first, second = values.pop("ends")
        return cls(ends=((first[0], first[1]), (second[0], second[1])), **values)

    def to_json(self) -> bytes:
        """Write it as it is stored."""
        return json.dumps(asdict(self)).encode()

    @property
    def text(self) -> str:
        """Say whose it is, and when it was made."""
        return f"An object of {self.mm:g} mm, marked by {self.reader_name}, {words.clock(self.at)}"


def scale_of(job: Job, reader: Reader, records: Records) -> dict[str, Any]:
    """Return how the viewer shows the calibration of this reader to a job: its `tag`, its `text`, and `info`.

    `info` takes the place of what `Osteo-Pixels` says of the spacing. It is empty without a calibration.
    """
    record = records.read(_key(job, reader))
    tag = sha256(record or b"").hexdigest()[:16]
    if record is None:
        return {"tag": tag, "text": "", "info": {}, "ends": None}
    found = Calibration.of_json(record)
    calibration: ObjectOfScale = {"mm": found.mm, "ends": [[*end] for end in found.ends]}
    spacing = calibrated_spacing(calibration, job.acquisition)
    info = {"spacing_mm": spacing, "spacing_plane": "patient", "calibration": calibration}
    return {"tag": tag, "text": found.text, "info": info, "ends": found.ends}


def add_calibration(pages: Blueprint, parts: Room) -> None:
    """Add the route that takes a reader's calibration to the reading room."""

    @pages.post("/<job_id>/calibration")
    @takes_form()
    def calibrate(job_id: str) -> Response:
        job, records = parts.open(job_id).job, parts.ledger.records
        new = None if request.form.get("remove") else _typed(job)

        def change(present: bytes | None) -> bytes | None:
            if sha256(present or b"").hexdigest()[:16] != request.form.get("known"):
                detail = "You have calibrated this radiograph in another window. Load the page again."
                raise Problem(Slug.DRAFT_CHANGED, detail)
            return new.to_json() if new else None

        records.change(_key(job, g.reader), change)
        g.action = "calibrated"
        return jsonify(scale_of(job, g.reader, records))


def _typed(job: Job) -> Calibration:
    """Read the form. Raises Problem 400."""
    mm = _numbers(request.form.get("mm", "").replace(",", "."))
    numbers = _numbers(request.form.get("ends", ""))
    if len(mm) != 1 or not 0 < mm[0] <= MOST_MM:
        raise _refused(f"Type the size of the object in millimetres, up to {MOST_MM}.")
    try:
        checked = checked_calibration({"mm": mm[0], "ends": [numbers[:2], numbers[2:]]}, job.image)
    except ValueError as error:
        raise _refused("Mark the object from edge to edge, with “Calibrate”.") from error
    (ax, ay), (bx, by) = checked["ends"]
    return Calibration(checked["mm"], ((ax, ay), (bx, by)), moment_text(now()), g.reader.id, g.reader.name)


def _numbers(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        return []


def _refused(detail: str) -> Problem:
    return Problem(Slug.MALFORMED, detail)


def _key(job: Job, reader: Reader) -> str:
    return f"jobs/{job.id}/calibrations/{reader.id}/"
