"""Claims: which job an idempotency key, or an id of the client's own, stands for; written before the job is.

They lie in the object store, at `clients/<client>/claims/<key|id>-<sha256 of the name>/`, and outlive a wipe
of Redis.
"""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from jobs.record.errors import Conflict
from jobs.record.job import Job, moment_text
from jobs.store.records import Records


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
    return f"clients/{client}/claims/key-{hashlib.sha256(name.encode()).hexdigest()}/"


def own_id_place(client: str, own_id: str) -> str:
    """Where the claim of an id of the client's own lies."""
    return f"clients/{client}/claims/id-{hashlib.sha256(own_id.encode()).hexdigest()}/"


class Claims:
    """All clients' claims. Every method may raise StoreUnavailable."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def read(self, key: str) -> Claim | None:
        """The claim that stands there, if any; it may be over."""
        return _read(key, self._records.read(key))

    def take(self, mine: Claim, void: Claim | None) -> None:
        """Write `mine`, in place of `void` where one stood there. Raises Conflict where another is faster.

        Without Redis two may write at once where the server knows no conditional writes: then the later
        claim stands, and a claimant that reads another claim than its own back gives up.
        """

        def change(record: bytes | None) -> bytes:
            if _read(mine.key, record) not in (void, mine):
                raise Conflict(mine.key)
            return mine.to_json()

        self._records.change(mine.key, change, at_any_price=True)

    def release(self, job: Job, at: datetime | None = None) -> None:
        """Take away the claim that stands for this job; with `at`, only if it is over by then."""

        def stands(claim: Claim | None) -> bool:
            return claim is not None and claim.job_id == job.id and (at is None or claim.over(at))

        def change(record: bytes | None) -> bytes | None:
            return None if stands(_read(key, record)) else record

        key = job.claim or ""
        if key and stands(self.read(key)):
            self._records.change(key, change, at_any_price=True)


def _read(key: str, record: bytes | None) -> Claim | None:
    if record is None:
        return None
    raw = json.loads(record)
    expires = datetime.fromisoformat(raw["expires_at"]) if raw["expires_at"] else None
    return Claim(key, raw["job"], raw["payload"], datetime.fromisoformat(raw["claimed_at"]), expires)
