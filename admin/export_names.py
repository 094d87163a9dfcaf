"""Names what an export has of jobs and people, and ties the pictures that may show one patient."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence

from jobs.record.job import Job


class Pseudonyms:
    """Names that lead back to nothing without the signing key of the service, and stay the same with it."""

    def __init__(self, signing_key: str) -> None:
        self._key = hmac.digest(signing_key.encode(), b"export of readings", hashlib.sha256)

    def of(self, *what: str) -> str:
        """Return the name of something, 32 hexadecimal digits."""
        return hmac.digest(self._key, json.dumps(what).encode(), hashlib.sha256).hex()[:32]


def groups_of(jobs: Sequence[Job], patients: Mapping[str, str], names: Pseudonyms) -> dict[str, str]:
    """Name the group of each job: views of a study, jobs of one reference, and pictures of one patient.

    `patients` has the name of each job's patient, or nothing, by its id. A tie of one job names its group
    as well, so that a later job does not move the group to another side of a division.
    """
    group_of = {job.id: names.of("job", job.id) for job in jobs}
    ties: dict[tuple[str, ...], list[str]] = {}
    for kind in ("study", "reference", "patient"):  # The name of the last one stays.
        for job in jobs:
            named = {"study": job.study, "reference": job.reference, "patient": patients[job.id]}
            if tie := named[kind]:
                ties.setdefault((kind, job.client, tie), []).append(job.id)
    for tied_by, tied in ties.items():
        joined = {group_of[job_id] for job_id in tied}
        name = names.of(*tied_by)
        group_of |= {job_id: name for job_id, group in group_of.items() if group in joined}
    return group_of
