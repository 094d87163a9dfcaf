"""Says what a scene is worth: its state, and until when it counts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.record.job import Job

_VALID = timedelta(minutes=5)
"""For so long a file counts. It is to be fetched again after that: the job may have been deleted."""


@dataclass(frozen=True)
class Standing:
    """The state of an answer for a machine that acts on it, and the moment after which it is void."""

    state: str
    valid_until: datetime


def standing_of(job: Job, moment: datetime) -> Standing:
    """Return the standing of a succeeded job at this moment, by its record alone: advice, or no finding."""
    found = (job.result or {})["finding"] != "no_fracture"
    return Standing("advisory" if found else "no_finding", moment + _VALID)
