"""Readings as their readers leave them: requested, claimed, signed, amended, returned, and the like."""

from datetime import timedelta
from typing import Any

from api.readings.signature import Signer, digest_of
from jobs.reading.measurement import checked_measurement
from jobs.reading.reading import Reading
from jobs.reading.states import Mode
from jobs.record.ids import new_id
from jobs.record.job import Job, moment_text, now
from jobs.record.states import Priority
from tests.conftest import SIGNING_KEY

REPORT = {
    "finding": "fracture",
    "sites": [{"box": [10, 20, 30, 40], "bone": "Radius"}, {"point": [55.5, 66]}],
    "text": "Displaced.\nDistal third.",
    "urgent": True,
    "advice": "Cast.",
}
NAME = "Dr. Ada Bone"
BALL = {"mm": 25, "ends": [[5, 5], [5, 30]]}
ENDS = [[1, 2], [40.5, 40], [60, 3], [64, 44]]


def with_measurements(job: Job, report: dict[str, Any] = REPORT) -> dict[str, Any]:
    """The report with a measurement of each kind in each plane, as it is signed of the job."""
    given: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
        ({"kind": "length", "points": ENDS[:2]}, job.acquisition),
        ({"kind": "length", "points": ENDS[:2], "calibration": BALL}, job.acquisition),
        ({"kind": "length", "points": ENDS[:2]}, None),
        ({"kind": "angle", "points": ENDS[:3]}, job.acquisition),
        ({"kind": "cobb", "points": ENDS}, job.acquisition),
    ]
    return report | {"measurements": [checked_measurement(one, job.image, known) for one, known in given]}


def a_reading(job: Job, **changes: Any) -> Reading:
    """A reading that waits."""
    at = now()
    return Reading(
        **{
            "id": new_id("reading"),
            "job": job.id,
            "client": job.client,
            "groups": ("bones",),
            "mode": Mode.BLIND,
            "priority": Priority.STAT,
            "requested_at": at,
            "due_at": at + timedelta(hours=1),
            "question": "Scaphoid?",
            "history": ({"type": "requested", "at": moment_text(at), "reader": None},),
            **changes,
        }
    )


def claimed(reading: Reading) -> Reading:
    """The reading with its reader."""
    return reading.claimed("reader_1", NAME, now())


def committed(reading: Reading, finding: str = "fracture", kind: str = "none") -> Reading:
    """The reading with a first finding, blind."""
    return claimed(reading).committed_with(finding, [], True, {"kind": kind, "grade": None}, now())


def signed(
    reading: Reading, job: Job, report: dict[str, Any] = REPORT, kind: str = "none", grade: str | None = "1"
) -> Reading:
    """The reading with a signed report."""
    first = committed(reading, report["finding"], kind)
    return first.signed(version_of(first, job, report), {"kind": kind, "grade": grade}, now())


def amended(reading: Reading, job: Job, report: dict[str, Any] = REPORT) -> Reading:
    """The signed reading with a later version of its report."""
    version = version_of(reading, job, report, "Seen at a second look.")
    return reading.amended(version, "reader_1", now())


def version_of(
    reading: Reading, job: Job, report: dict[str, Any], reason: str | None = None
) -> dict[str, Any]:
    """The next signed version of a report, signed as the service signs it."""
    number, at = len(reading.reports) + 1, moment_text(now())
    claims = {"reading": reading.id, "number": number, "report_sha256": digest_of(report), "at": at}
    return {
        "number": number,
        "report": report,
        "reason": reason,
        "at": at,
        "reader": "reader_1",
        "reader_name": NAME,
        "jws": Signer(SIGNING_KEY).sign(claims),
    }
