"""Keeps what a shadow made of the jobs that it has scored, beside what was served.

A score lies at `jobs/<job id>/shadow/<digest>`, where each erasure of the job finds it: JSON, with codes and
numbers, and nothing that a client sent. The empty `shadow/<digest>/<job id>` lists it.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from typing import Any

from jobs.record.errors import NotStored
from jobs.record.job import Job
from jobs.record.states import State
from jobs.store.ledger import Ledger
from jobs.store.ledger_keys import score_key, scored_key

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
        # Before the score: an erasure that finds the score erases this too.
        self._objects.put(scored_key(score.bundle, score.job), b"")
        body = json.dumps(asdict(score)).encode()
        self._objects.put(score_key(score.job, score.bundle), body, "application/json")
        return True

    def of(self, bundle: str) -> list[ShadowScore]:
        """Return all scores of a bundle."""
        listed = scored_key(bundle, "")
        keys = (score_key(key.removeprefix(listed), bundle) for key in self._objects.keys(listed))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            found = list(pool.map(self._get, keys))
        return [score for score in found if score]

    def remove_of(self, bundle: str) -> int:
        """Remove all scores of a bundle, and return their number."""
        listed = scored_key(bundle, "")

        def remove(key: str) -> None:
            self._objects.delete(score_key(key.removeprefix(listed), bundle))
            # Last: it leads to the score, should this process die between the two.
            self._objects.delete(key)

        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return len(list(pool.map(remove, self._objects.keys(listed))))

    def _get(self, key: str) -> ShadowScore | None:
        try:
            values: dict[str, Any] = json.loads(self._objects.get(key))
        except NotStored:  # The job was deleted, or its score is just being written.
            return None
        # A later version of this program may have written more.
        return ShadowScore(**{field.name: values[field.name] for field in fields(ShadowScore)})
