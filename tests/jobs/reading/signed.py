"""Readings that a test signs without an API, as its actions do."""

from collections.abc import Sequence
from typing import Any

from jobs.reading.policy import ReadingPolicy
from jobs.reading.reading import Reading
from jobs.reading.readings import Readings, arbitration_id_of
from jobs.record.job import Job, moment_text, now
from jobs.store.ledger import Ledger

POLICY = ReadingPolicy(groups=("bones",))


def a_report(finding: str = "fracture", number: int = 1, sites: Sequence[Any] = ()) -> dict[str, Any]:
    """A signed version of a report."""
    report = {"finding": finding, "sites": list(sites), "text": "private", "urgent": False, "advice": ""}
    reader = {"reader": "reader_ada", "reader_name": "Dr. Ada"}
    return {"number": number, "report": report, "reason": None, "at": moment_text(now()), **reader, "jws": ""}


def claimed(ledger: Ledger, job: Job, arbitrates: Reading | None = None) -> Reading:
    """A reading of the job that a reader has claimed."""
    readings, name = Readings(ledger), "reader_eve" if arbitrates else "reader_ada"
    own_id = arbitration_id_of(arbitrates) if arbitrates else None
    reading = readings.request(job, POLICY, own_id, arbitrates=arbitrates)
    return readings.change(reading, lambda present: present.claimed(name, name.title(), now()))


def sign(
    ledger: Ledger,
    reading: Reading,
    finding: str = "fracture",
    sites: Sequence[Any] = (),
    kind: str = "none",
    grade: str | None = None,
) -> Reading:
    """The reading once its reader has committed a finding and signed it."""

    def signed(present: Reading) -> Reading:
        committed = present.committed_with(finding, sites, not present.arbitrates, {"kind": kind}, now())
        return committed.signed(
            a_report(finding, 1, sites), {**(committed.disagreement or {}), "grade": grade}, now()
        )

    return Readings(ledger).change(reading, signed)


def amend(ledger: Ledger, reading: Reading, finding: str) -> Reading:
    """The reading with a second version of its report."""

    def amended(present: Reading) -> Reading:
        assert present.reader
        return present.amended(a_report(finding, 2), present.reader, now())

    return Readings(ledger).change(reading, amended)
