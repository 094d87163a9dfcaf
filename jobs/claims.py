"""Claims: which job an idempotency key, or an id of the client's own, stands for; written before the job is.

They lie in the object store, at `clients/<client>/<keys|ids>/<sha256 of the name>`, and outlive a wipe of
Redis, whose gate lets one claimant write at a time where the server knows no conditional writes.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from jobs.errors import Conflict, NotStored, QueueUnavailable
from jobs.job import Job, moment_text
from jobs.objects import Objects
from jobs.view import GATE_SECONDS, WRITE_SECONDS, Gate, View


@dataclass(frozen=True)
class Claim:
    """One name and the job that it stands for; `payload` is the submission's digest."""

    key: str
    job_id: str
    payload: str
    claimed_at: datetime
    expires_at: datetime | None = None

    def over(self, at: datetime) -> bool:
        """Whether the name is free again."""
        return self.expires_at is not None and self.expires_at <= at

    def to_json(self) -> bytes:
        """The claim as it is stored: without the name, which may say more than it should."""
        expires = moment_text(self.expires_at) if self.expires_at else None
        values = {"job": self.job_id, "payload": self.payload, "claimed_at": moment_text(self.claimed_at)}
        return json.dumps(values | {"expires_at": expires}).encode()


def key_place(client: str, name: str) -> str:
    """Where the claim of an idempotency key lies."""
    return f"clients/{client}/keys/{hashlib.sha256(name.encode()).hexdigest()}"


def own_id_place(client: str, own_id: str) -> str:
    """Where the claim of an id of the client's own lies."""
    return f"clients/{client}/ids/{hashlib.sha256(own_id.encode()).hexdigest()}"


class Claims:
    """All clients' claims. Every method may raise StoreUnavailable."""

    def __init__(self, objects: Objects, view: View) -> None:
        self._objects = objects
        self._view = view

    def read(self, key: str) -> Claim | None:
        """The claim that stands there, if any; it may be over."""
        try:
            raw = json.loads(self._objects.get(key))
        except NotStored:
            return None
        expires = datetime.fromisoformat(raw["expires_at"]) if raw["expires_at"] else None
        return Claim(key, raw["job"], raw["payload"], datetime.fromisoformat(raw["claimed_at"]), expires)

    def take(self, mine: Claim, void: Claim | None) -> None:
        """Write `mine`, in place of `void` where one stood there. Raises Conflict where another is faster.

        Without Redis two may write at once where the server knows no conditional writes: then the later
        claim stands, and whoever reads another than his own back gives up.
        """
        opens = time.monotonic() + GATE_SECONDS
        try:
            guarded = self._view.gate(_gate(mine.key, void), 1, mine.job_id) is not Gate.SHUT
        except QueueUnavailable:
            guarded = None
        if guarded is False or self.read(mine.key) != void:
            raise Conflict(mine.key)
        if void:
            self._objects.delete(mine.key)
        if time.monotonic() > opens - WRITE_SECONDS:
            raise Conflict(mine.key)
        self._objects.put_new(mine.key, mine.to_json())
        if guarded is None and self.read(mine.key) != mine:
            raise Conflict(mine.key)

    def release(self, job: Job, at: datetime | None = None) -> None:
        """Take away the claim that stands for this job; with `at`, only if it is over by then."""
        claim = self.read(job.claim) if job.claim else None
        if claim and claim.job_id == job.id and (at is None or claim.over(at)):
            self._objects.delete(claim.key)
            with suppress(QueueUnavailable):  # It opens by itself.
                self._view.open_gate(_gate(claim.key, None), 1)


def _gate(key: str, void: Claim | None) -> str:
    return f"{key}:{void.job_id}" if void else key
