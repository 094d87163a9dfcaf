"""Keeps what a client has changed since the submission of whether models may learn from a job."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from jobs.record.job import Job, moment_text
from jobs.store.records import Records

_MOST = 100
"""Changes that are kept, the last ones."""


@dataclass(frozen=True)
class Consent:
    """What a client allows: whether models may learn from a job, its reference to the consent, since when."""

    allowed: bool
    reference: str | None
    at: str


class Consents:
    """The consents, at `jobs/<job id>/consent/`. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def of(self, job: Job) -> Consent:
        """Return what its client allows at present: what was set last, or what the submission said."""
        changes = _changes(self._records.read(_key(job.id)))
        if changes:
            return Consent(**changes[-1])
        return Consent(job.training_use == "allowed", job.consent_reference, moment_text(job.created_at))

    def revoked(self, job: Job) -> bool:
        """Return whether models might learn from the job once, and may not any more."""
        before = [Consent(**change).allowed for change in _changes(self._records.read(_key(job.id)))]
        return bool(before) and not before[-1] and (job.training_use == "allowed" or any(before))

    def put(self, job: Job, allowed: bool, reference: str | None, at: datetime) -> Consent:
        """Set what the client allows from now on, and return it. Earlier changes stay on record."""
        consent = Consent(allowed, reference, moment_text(at))

        def changed(record: bytes | None) -> bytes:
            return json.dumps([*_changes(record), asdict(consent)][-_MOST:]).encode()

        self._records.change(_key(job.id), changed)
        return consent

    def forget(self, job_id: str) -> None:
        """Erase what was set for a job that was deleted meanwhile."""
        self._records.change(_key(job_id), lambda _: None, at_any_price=True)


def _changes(record: bytes | None) -> list[dict[str, Any]]:
    return list(json.loads(record)) if record else []


def _key(job_id: str) -> str:
    return f"jobs/{job_id}/consent/"
