"""Keeps what a shadow made of the jobs that it has scored, beside what was served.

shadow/<digest>/<job id>          one score, JSON; it has codes and numbers, and nothing that a client sent
jobs/<job id>/shadow/<digest>     empty; leads the deletion of the job to its scores
"""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from jobs.record.errors import NotStored
from jobs.record.job import Job
from jobs.record.states import State
from jobs.store.ledger import Ledger

BROKEN, REFUSED = "broken", "refused"
"""Findings of a shadow whose analysis broke, and of one that took the image for no radiograph."""
_AT_ONCE = 16


@dataclass(frozen=True)
class ShadowScore:
    """What a shadow found in one job, and what was served: findings, and calibrated probabilities 0..1.

    `bundle` and `served_bundle` are digests. `probability` is None where the shadow gave no answer.
    `body_part` is DICOM's term, where the image names one.
    """

    job: str
    bundle: str
    finding: str
    probability: float | None
    served_bundle: str | None
    served_finding: str
    served_probability: float
    client: str
    format: str
    body_part: str | None

    @property
    def differs(self) -> bool:
        """Whether the finding is another one than the client got."""
        return self.finding != self.served_finding


def score_of(job: Job, bundle: str, finding: str, probability: float | None = None) -> ShadowScore:
    """Return the score of a shadow for a job that has its result."""
    assert job.result
    return ShadowScore(
        job=job.id,
        bundle=bundle,
        finding=finding,
        probability=None if probability is None else round(probability, 4),
        served_bundle=job.result["model"].get("bundle"),
        served_finding=job.result["finding"],
        served_probability=job.result["probability"],
        client=job.client,
        format=job.image.format,
        body_part=((job.acquisition or {}).get("body_part") or {}).get("term"),
    )


class ShadowScores:
    """The scores. Every method may raise StoreUnavailable."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._objects = ledger.objects

    def put(self, score: ShadowScore) -> bool:
        """Store a score, and return whether it was stored: not for a job that was deleted meanwhile.

        A deletion at this very moment erases it with the job's late objects, ten minutes later.
        """
        try:
            if self._ledger.read(score.job).state is not State.SUCCEEDED:
                return False
        except NotStored:
            return False
        # Before the score: the deletion of the job finds the score by it.
        self._objects.put(_pointer(score.job, score.bundle), b"")
        body = json.dumps(asdict(score)).encode()
        self._objects.put(_key(score.bundle, score.job), body, "application/json")
        return True

    def of(self, bundle: str) -> list[ShadowScore]:
        """Return all scores of a bundle."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(self._get, self._objects.keys(f"shadow/{bundle}/")))
        return [score for score in found if score]

    def erase_of(self, job_id: str) -> None:
        """Erase the scores of a job that is deleted."""
        for pointer in self._pointers(job_id):
            self._objects.delete(_key(pointer.rpartition("/")[2], job_id))
            self._objects.delete(pointer)

    def _pointers(self, job_id: str) -> Iterator[str]:
        return self._objects.keys(_pointer(job_id, ""))

    def _get(self, key: str) -> ShadowScore | None:
        try:
            values: dict[str, Any] = json.loads(self._objects.get(key))
        except NotStored:  # The job was deleted since the listing.
            return None
        return ShadowScore(**values)


def _key(bundle: str, job_id: str) -> str:
    return f"shadow/{bundle}/{job_id}"


def _pointer(job_id: str, bundle: str) -> str:
    return f"jobs/{job_id}/shadow/{bundle}"
